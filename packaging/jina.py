"""Installed as `jina.py` beside the folder `jina`; Python reads it only where `jina/__init__.py` is missing.

That is so after `pip install --upgrade` in an environment that had Jina 3: pip first installs the new package and then
removes the files of the old one, of which three have the same names.
"""

from pathlib import Path

raise ImportError(
    f"{Path(__file__).with_name('jina')} is not complete: pip removed files of the distribution rejina together with "
    "those of Jina 3, which had the same names\n"
    "  help: pip install --force-reinstall --no-deps --find-links dist rejina"
)
