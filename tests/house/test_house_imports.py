"""Who may import whom: the contracts are kept, and no part stands outside of them."""

import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any


def test_the_import_contracts_are_kept(root: Path) -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-logo", "--no-cache"]
    run = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "0 broken" in run.stdout


def test_there_are_five_contracts(pyproject: dict[str, Any]) -> None:
    contracts = pyproject["tool"]["importlinter"]["contracts"]
    kinds = sorted(contract["type"] for contract in contracts)
    assert kinds == ["acyclic_siblings", "forbidden", "forbidden", "independence", "layers"]


def test_every_part_has_its_floor(root: Path, generate: ModuleType) -> None:
    package = root / "src" / "penelope"
    parts = {
        path.stem for path in package.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    floors = [part for floor in generate.floors() for part in floor]
    assert sorted(floors) == sorted(parts - {"__init__"})


def test_no_room_is_left_out_of_the_picture(root: Path, generate: ModuleType) -> None:
    rooms = {path.parent.name for path in (root / "src" / "penelope" / "rooms").glob("*/__init__.py")}
    parts, _ = generate.count_imports()
    assert rooms
    assert {part.removeprefix("rooms.") for part in parts if part.startswith("rooms.")} == rooms
