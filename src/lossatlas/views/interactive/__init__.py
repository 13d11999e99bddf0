"""The kinds of interactive pictures of a survey, each in a module of the same name."""
