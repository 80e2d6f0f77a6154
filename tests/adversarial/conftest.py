"""The suite plays on the stages of the flow tests."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "flow"))
