"""The kinds of pictures of a comparison of networks, each in a module of the same name."""
