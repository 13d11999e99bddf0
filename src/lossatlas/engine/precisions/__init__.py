"""One module per precision, named as on the command line."""
