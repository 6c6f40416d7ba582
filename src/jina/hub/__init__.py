"""Executor packages: new, build.

Takes: names, paths, answers.
Gives: folders and Dockerfiles.
Never: runs user code.
"""
