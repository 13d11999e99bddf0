"""The kinds of picture of several surveys on shared axes: one module is one kind, named after its file."""
