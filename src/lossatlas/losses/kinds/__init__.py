"""One module per loss, named as on the command line."""
