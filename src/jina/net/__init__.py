"""What clients and servers share: the Service protocol, messages, access, TLS.

Never: decides about requests; never builds a document class.
"""
