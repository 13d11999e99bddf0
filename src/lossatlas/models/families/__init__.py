"""One module per family, named as on the command line."""
