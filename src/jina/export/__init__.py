"""Plan to pictures (pure).

Takes: a plan.
Gives: text, and images as bytes.
Never: does I/O.
"""
