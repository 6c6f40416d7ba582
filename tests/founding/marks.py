"""`@sentence(12, 13)`: the test shows that these sentences of the founding text are true."""

import pytest


def sentence(*numbers):
    return pytest.mark.sentence(*numbers)
