"""The kinds of directions: each module defines one, named after the file."""
