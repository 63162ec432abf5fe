"""The setup's own modules are scripts, not part of the package: tests reach them by their folder."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts/bootstrap"))
