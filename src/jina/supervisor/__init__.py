"""Plan to processes on this machine; supervises and stops them.

Takes: a plan.
Gives: running workers, their readiness or the exact failure.
Never: forks the program, polls ports or leaves a child behind.
"""
