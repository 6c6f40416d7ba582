"""The contract with user code: Executor, decorators, endpoint table, loading, workspace.

Takes: a class or an executor plan.
Gives: an instance and its endpoint table.
Never: knows protocols or processes.
"""
