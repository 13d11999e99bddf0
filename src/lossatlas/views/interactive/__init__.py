"""The kinds of interactive picture of a survey: one module is one kind, named after its file."""
