"""Kinds of pools, one module each, which are called as ``--executor`` calls them."""
