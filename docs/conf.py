"""Sphinx configuration."""

project = "lossatlas"
extensions = ["myst_parser"]
exclude_patterns = ["_build"]
html_theme = "alabaster"
