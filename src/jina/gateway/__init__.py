"""A gateway: a graph of Deployments as a Service, and the gateway classes of users.

Takes: a plan and links to workers.
Gives: served requests.
Never: runs an Executor; never builds a document class to route.
"""
