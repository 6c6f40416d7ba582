"""A Service offered to another process of this machine over a connected socket, and the client of it.

Never: reads a document.
"""
