import gpukit

project = "gpukit"
author = "the gpukit developers"
release = version = gpukit.__version__
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build", "images"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
html_theme = "alabaster"
html_title = f"gpukit {version}"
html_copy_source = False
suppress_warnings = ["toc.empty_glob"]
