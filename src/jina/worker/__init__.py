"""A worker: one Executor, its handlers run, batched, streamed and replicated, as a Service.

Takes: a plan and sockets.
Gives: served requests; readiness or the exact failure.
Never: knows of other workers.
"""
