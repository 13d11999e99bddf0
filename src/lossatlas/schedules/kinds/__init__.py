"""One module per learning-rate schedule, named as on the command line."""
