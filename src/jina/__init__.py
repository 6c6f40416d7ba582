"""jina: serve Python classes as network services."""

__version__ = "4.0.0.dev0"
