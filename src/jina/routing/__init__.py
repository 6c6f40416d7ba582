"""Pure state machines: graph walk, conditions, merge, choice of replicas, batches.

Takes: events and a clock.
Gives: decisions.
Never: does I/O or reads the time.
"""
