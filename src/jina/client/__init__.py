"""The client: async core and its sync face.

Takes: an address and documents.
Gives: documents or the error that the server raised.
Never: hides a loop in a thread.
"""
