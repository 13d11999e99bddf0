"""The kinds of pictures of a curvature run, each in a module of the same name."""
