"""Plan to text: Kubernetes, Compose, pictures (pure).

Takes: a plan.
Gives: text, and images as bytes.
Never: does I/O.
"""
