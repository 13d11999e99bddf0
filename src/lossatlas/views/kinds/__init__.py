"""The kinds of picture: one module is one kind, named after its file."""
