"""One module per strategy, named as on the command line."""
