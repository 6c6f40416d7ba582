"""Plans to pictures, and specs to files for Kubernetes and Compose (pure).

Takes: a plan, or a spec.
Gives: text, and images as bytes.
Never: does I/O.
"""
