"""A module beside the script, found through the script's folder only."""


def double(value):
    return 2 * value
