"""Each test has a cache, a registry in a folder and a working folder of its own."""

import pytest
from tests.hub.test_packages import EXECUTOR, write

CONFIG = "jtype: Upper\npy_modules: [executor.py]\n"


@pytest.fixture(autouse=True)
def places(tmp_path, tmp_path_factory, monkeypatch):
    """A cache, a registry and a working folder of the test's own."""
    for name in ("JINA_HUB_REGISTRY", "JINA_HUB_TRUST", "JINA_HUB_KEYS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path_factory.mktemp("work"))


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path / "upper", {"config.yml": CONFIG, "executor.py": EXECUTOR, "data.txt": "one"})
