"""What users and we test Executors and services with.

Takes: specs.
Gives: running services with faults and leak checks.
Never: is imported by another room.
"""
