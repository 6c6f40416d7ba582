"""Stateful groups on Kubernetes: what is wanted and what is there, and the next safe step between them.

Takes: objects of the API of Kubernetes, and what the agents of a group say of it.
Gives: one step after the other, each of which may be the last that is carried out.
Never: remembers anything between two steps.
"""
