"""One module per study, named as on the command line with underscores for dashes."""
