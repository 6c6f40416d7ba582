"""Executor packages: checks, registries, Dockerfiles.

Takes: names, paths, answers.
Gives: folders, archives, Dockerfiles and images.
Never: runs user code.
"""
