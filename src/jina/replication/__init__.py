"""Stateful Executors: the consensus agent's driver, sessions, snapshots."""
