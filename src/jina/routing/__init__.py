"""Pure state machines: graph walk, conditions, merge, choice of replicas.

Takes: events and a clock.
Gives: decisions.
Never: does I/O or reads the time.
"""
