"""The kinds of pictures of a survey, each in a module of the same name."""
