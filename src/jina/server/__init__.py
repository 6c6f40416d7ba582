"""gRPC, HTTP and WebSocket servers over a Service; the only room but the client that imports grpc and uvicorn.

Takes: a Service and the plans of its listeners.
Gives: served ports.
Never: decides about requests; never builds a document class.
"""
