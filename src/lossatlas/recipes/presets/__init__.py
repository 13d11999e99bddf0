"""One module per preset, named as on the command line: what it sets beside the defaults."""
