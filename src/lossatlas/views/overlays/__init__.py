"""The kinds of pictures of several surveys on shared axes, each in a module of the same name."""
