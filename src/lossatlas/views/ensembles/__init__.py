"""The kinds of pictures of ensembles, one or several on shared axes, each in a module of the same name."""
