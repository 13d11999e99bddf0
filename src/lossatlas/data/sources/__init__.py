"""One module per data set, named as on the command line."""
