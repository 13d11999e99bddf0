"""One module per metric, named as on the command line."""
