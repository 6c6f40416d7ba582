"""Plan to text: Kubernetes, Compose, pictures (pure).

Takes: a plan.
Gives: text.
Never: does I/O.
"""
