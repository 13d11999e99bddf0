"""One module per buffers policy, named as on the command line."""
