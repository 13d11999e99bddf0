"""Kinds of members of ensembles: each module defines one, which is called after it in RUN@KIND."""
