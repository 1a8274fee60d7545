"""Configure the documentation. The build works offline: it reads no documentation of other projects.

Run by `python -m sphinx -W -b html docs docs/_build/html`.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

DOCS = Path(__file__).parent
ROOT = DOCS.parent
sys.path[:0] = [str(ROOT), str(DOCS / "_extensions")]

import sphinx_autosummary_accessors  # noqa: E402

import xr_sr  # noqa: E402 - adds `.sr` to xarray, of which the accessor's pages are made

project = "xr_sr"
author = "The xr_sr developers"
copyright = "2026, the xr_sr developers"
release = version = xr_sr.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_autosummary_accessors",
    "myst_nb",
    "docstrings",
    "inserts",
]
templates_path = [sphinx_autosummary_accessors.templates_path]
exclude_patterns = ["_build", "jupyter_execute", "**.ipynb_checkpoints"]

# Docstrings name things in single backticks: a link where it is one of ours, else code.
default_role = "py:obj"
autosummary_generate = True
autodoc_typehints = "signature"
maximum_signature_line_length = 90
add_module_names = False

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3

# The build runs the examples, with the weights that are at hand. A cell that raises is a warning, which -W makes fatal.
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_show_tb = True
nb_execution_timeout = 600
nb_merge_streams = True
nb_output_stderr = "remove"  # progress bars

html_theme = "pydata_sphinx_theme"
html_title = f"xr_sr {release}"
html_static_path = ["_static"]
html_css_files = ["style.css"]
html_sidebars = {"index": [], "quickstart": [], "changelog": [], "contributing": []}
html_theme_options = {
    "logo": {"text": "xr_sr"},
    "header_links_before_dropdown": 7,
    "show_prev_next": False,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}

# Sphinx reads below this folder only, and the notebooks live at the top, where users look for them.
shutil.rmtree(DOCS / "examples", ignore_errors=True)
shutil.copytree(ROOT / "examples", DOCS / "examples", ignore=shutil.ignore_patterns("*.zarr", ".*", "*.md"))
