"""The harness lies beside its tests, and runs on its own too."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
