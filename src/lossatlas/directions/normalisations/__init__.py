"""The normalisations of directions: one module is one kind, named after its file."""
