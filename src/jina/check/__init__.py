"""What of a project written for Jina 3 will differ here, and where; read, never run.

Takes: a folder or a file.
Gives: findings with file, line, column, rule and what to write instead; changed texts for what is mechanical.
Never: imports or runs code of the project.
"""
