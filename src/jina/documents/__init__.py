"""The schemaless Document and DocumentArray, and helpers on typed documents.

Takes: content.
Gives: documents.
Never: knows the wire.
"""
