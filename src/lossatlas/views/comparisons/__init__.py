"""The kinds of picture of a comparison of networks: one module is one kind, named after its file."""
