"""One module per verb, named as on the command line; each makes the verb's function from the tokens."""
