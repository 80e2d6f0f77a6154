"""The bench of the adapter that docs/acting.md writes as an example."""

from pathlib import Path
from typing import Any

import pytest
from benching import Bench, an_action, with_options

from maintenance import MaintenanceAdapter


def announcement(request: pytest.FixtureRequest) -> Bench:
    folder: Path = request.getfixturevalue("tmp_path")
    file = folder / "maintenance.json"
    adapter = MaintenanceAdapter()
    action = an_action("maintenance", "announce", {"file": str(file)}, {"words": "back at nine"})
    return Bench(
        adapter=adapter,
        action=action,
        effects=lambda: int(file.exists()),
        shown=("announced",),
        unreachable=(adapter, with_options(action, file=str(folder / "nowhere" / "maintenance.json"))),
    )


BENCHES = [announcement]
HALVED: list[Any] = []
