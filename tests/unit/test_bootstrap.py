"""The secret behind all keys: made once, private, and the same for whoever starts."""

import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr

from penelope.adapters.calendars.shelf import Shelf
from penelope.bootstrap import pepper
from penelope.bootstrap.parts import rules_of
from penelope.errors import BadSettings
from penelope.kit.clock import SystemClock
from penelope.settings import Settings
from penelope.settings.tree import Keys

IN_ANOTHER_PROCESS = """
import sys, pathlib
from penelope.bootstrap import pepper
from penelope.bootstrap.parts import rules_of
from penelope.settings import Settings
from penelope.settings.tree import Keys
print(pepper(Settings(keys=Keys(pepper_file=pathlib.Path(sys.argv[1])))).decode())
"""


def kept_in(file: Path, **changes) -> Settings:
    return Settings(keys=Keys(pepper_file=file, **changes))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "var" / "pepper"


def test_it_is_made_once_and_kept_private(file: Path) -> None:
    made = pepper(kept_in(file))
    assert len(bytes.fromhex(made.decode())) == 32
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert pepper(kept_in(file)) == made
    assert [path.name for path in file.parent.iterdir()] == ["pepper"]


def test_it_is_private_whatever_the_umask(file: Path) -> None:
    before = os.umask(0)
    try:
        pepper(kept_in(file))
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_every_installation_has_its_own(tmp_path: Path) -> None:
    assert pepper(kept_in(tmp_path / "one")) != pepper(kept_in(tmp_path / "two"))


def test_processes_that_start_at_once_agree(file: Path) -> None:
    command = [sys.executable, "-c", IN_ANOTHER_PROCESS, str(file)]

    def start(_number: int) -> str:
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.strip()

    with ThreadPoolExecutor(3) as threads:
        found = set(threads.map(start, range(3)))
    assert found == {pepper(kept_in(file)).decode()}
    assert [path.name for path in file.parent.iterdir()] == ["pepper"]


def test_what_a_crash_left_behind_does_no_harm(file: Path) -> None:
    file.parent.mkdir()
    aside = file.with_name(f".pepper.{os.getpid()}")
    aside.write_text("half a secr")
    made = pepper(kept_in(file))
    assert len(made) == 64
    assert not aside.exists()


def test_a_configured_one_wins(file: Path) -> None:
    pepper(kept_in(file))
    before = file.read_bytes()
    configured = kept_in(file, pepper=SecretStr("from the environment"))
    assert pepper(configured) == b"from the environment"
    assert file.read_bytes() == before
    elsewhere = file.parent / "nowhere" / "pepper"
    assert pepper(kept_in(elsewhere, pepper=SecretStr("from the environment"))) == b"from the environment"
    assert not elsewhere.parent.exists()


def test_the_end_of_a_line_is_no_part_of_it(file: Path) -> None:
    file.parent.mkdir()
    file.write_text("written by hand, long enough\n")
    assert pepper(kept_in(file)) == b"written by hand, long enough"


@pytest.mark.parametrize("text", ["", "\n", "short"])
def test_a_file_without_a_secret_is_refused(file: Path, text: str) -> None:
    file.parent.mkdir()
    file.write_text(text)
    with pytest.raises(BadSettings, match="no secret"):
        pepper(kept_in(file))
    assert file.read_text() == text


def test_the_order_of_the_gate_s_rules_is_declared() -> None:
    calendars = Shelf(None, Path("unused"), SystemClock())
    assert [rule.name for rule in rules_of(Settings(), calendars)] == [
        "halt",
        "rate",
        "loop",
        "rest",
        "policy",
        "rego",
        "scanner",
        "dependency",
        "autonomy",
        "approval",
    ]


ADA = "ada@example.com roles=dba"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("tier 4: 1 approver + 1 rule:scaner", "no rule of the gate is called 'scaner'"),
        ("tier 4: 1 sre", "'1 sre' needs 1 with that role, and approval.people has 0"),
        ("tier 4: 1 approver + 2 of 3 dba", "'2 of 3 dba' needs 2 with that role, and approval.people has 1"),
    ],
)
def test_a_seat_that_nobody_could_ever_take_is_refused_at_the_start(line: str, why: str) -> None:
    settings = Settings.model_validate({"approval": {"quorum": [line], "people": [ADA]}})
    with pytest.raises(BadSettings, match=r"^approval\.quorum: ") as caught:
        rules_of(settings, Shelf(None, Path("unused"), SystemClock()))
    assert why in caught.value.message


def test_seats_of_people_rules_and_agents_are_taken() -> None:
    line = "risk 0.5: 3 of 9 approver + 1 of 2 dba + 1 rule:rego + 1 agent:second-opinion"
    settings = Settings.model_validate({"approval": {"quorum": [line], "people": [ADA]}})
    assert rules_of(settings, Shelf(None, Path("unused"), SystemClock()))
