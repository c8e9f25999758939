"""Sphinx configuration: Markdown and notebooks, offline, warnings as errors."""

from __future__ import annotations

from batpak_analytics import __version__

project = "batpak-analytics"
author = "the batpak-analytics authors"
project_copyright = "2026, the batpak-analytics authors"
release = version = __version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "jupyter_execute"]

default_role = "code"  # docstrings write names between single backticks

html_theme = "furo"
html_title = f"{project} {release}"
html_static_path: list[str] = []

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "off"

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
python_use_unqualified_type_names = True
