"""The client: an async one and a sync one.

Takes: an address and documents.
Gives: documents or the error that the server raised.
Never: hides a loop in a thread.
"""

from jina.client.client import Client

__all__ = ["Client"]
