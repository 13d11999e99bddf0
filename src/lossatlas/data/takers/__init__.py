"""How examples as people have them are taken as batch sources: one module for each kind of source."""
