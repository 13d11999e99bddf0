"""Jobs: one function per verb, from a recipe and a directory to a finished run."""
