"""Spec to plan: processes, ports, addresses, edges (pure).

Takes: specs and an allocator.
Gives: frozen, JSON-serialisable plans.
Never: does I/O, reads the clock or draws random numbers itself.
"""
