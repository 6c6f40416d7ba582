"""The versions of this package and of its protocol."""

from __future__ import annotations

from typing import Final

__version__: Final = "4.0.0"
__proto_version__: Final = "0.1.27"
"""Of the protobuf messages: that of the Jina 3 whose clients and servers understand them."""
