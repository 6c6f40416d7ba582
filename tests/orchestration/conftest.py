import sys
from pathlib import Path

import pytest

HERE = str(Path(__file__).parent)


@pytest.fixture(scope="session", autouse=True)
def _importable_shop():
    """Workers get the `sys.path` of who starts them."""
    sys.path.append(HERE)
    yield
    sys.path.remove(HERE)
