"""Every option once; YAML in and out; cross-field rules.

Takes: keyword arguments, YAML, command-line values.
Gives: frozen specs, or one error that names the place.
Never: starts anything.
"""
