"""Pure state machines: graph walk, polling, merge, batching.

Takes: events and a clock.
Gives: decisions.
Never: does I/O or reads the time.
"""
