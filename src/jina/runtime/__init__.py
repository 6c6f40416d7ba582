"""One running role, here a worker: start, ready, drain, stop.

Takes: a worker plan and a loaded Executor.
Gives: a Service that the listeners of server serve.
Never: opens a socket itself.
"""
