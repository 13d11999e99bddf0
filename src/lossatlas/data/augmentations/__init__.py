"""One module per augmentation, named as on the command line."""
