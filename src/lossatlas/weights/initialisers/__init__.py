"""One module per initialiser, named as on the command line."""
