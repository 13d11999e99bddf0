"""One module per chart; its name is the one that files of charts carry."""
