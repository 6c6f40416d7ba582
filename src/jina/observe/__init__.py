"""Logs, metrics, traces, health.

Takes: events.
Gives: lines, samples, spans.
Never: decides.
"""
