"""In an environment of its own: executes NOTEBOOK, errors included, and writes it as JSON and as HTML beside it."""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbconvert import HTMLExporter

path = Path(sys.argv[1])
notebook = nbformat.read(path, as_version=4)
NotebookClient(notebook, timeout=150, kernel_name="jina-test", allow_errors=True).execute(cwd=str(path.parent))
nbformat.write(notebook, path.with_name("executed.ipynb"))
text, _ = HTMLExporter().from_notebook_node(notebook)
path.with_name("executed.html").write_text(text, encoding="utf-8")
