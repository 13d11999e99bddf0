"""Jobs: one per verb; each turns a configuration and a directory into a finished run."""
