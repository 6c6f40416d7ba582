"""Reconciles stateful groups on Kubernetes: what is wanted, what is there, and the next safe step between them."""
