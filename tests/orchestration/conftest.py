"""Workers get the `sys.path` of who starts them, so that they can import the Executors of these tests."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
