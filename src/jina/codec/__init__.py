"""Protobuf messages, the compiled codec documents <-> bytes, JSON bodies, parameters.

Takes: documents or bytes.
Gives: bytes or documents.
Never: opens a socket; never touches the default descriptor pool.
"""
