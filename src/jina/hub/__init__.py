"""Executor packages: checks, registries, Dockerfiles.

Takes: names, paths, answers.
Gives: folders and Dockerfiles.
Never: runs user code.
"""
