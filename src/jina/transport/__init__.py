"""gRPC, HTTP and WebSocket: servers and channels; the only door to grpc, uvicorn, websockets.

Takes: a Service and face plans, or an address.
Gives: served ports, or replies.
Never: decides about requests; never builds a document class.
"""
