"""Commands: parses a command line generated from the specs, calls the rooms below, sets the exit code.

Takes: argv.
Gives: an exit code (0, 1, 2, 130).
Never: decides what an option means.
"""
