"""Sphinx configuration."""

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "lossatlas"
release = version = version_of("lossatlas")
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
    "api_pages",
    "mathml",
    "verb_pages",
]
default_role = "literal"  # a single pair of backticks, as in the help of options
exclude_patterns = ["_build", "_ext"]
html_theme = "furo"
html_title = "lossatlas"
html_static_path = ["_static"]
html_css_files = ["lossatlas.css"]
html_math_renderer = "mathml"
html_copy_source = False
html_show_copyright = False
smartquotes_action = "qe"  # two dashes begin an option

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_typehints_format = "short"
napoleon_numpy_docstring = False
python_maximum_signature_line_length = 88
toc_object_entries_show_parents = "hide"
