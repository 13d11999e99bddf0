"""One module per clip, named as on the command line."""
