"""The commands of the wisdom base against a real server in a process of its own."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from serving import PATIENCE_SECONDS, Server

EXAMPLES = Path(__file__).parents[2] / "examples" / "past-incidents.jsonl"


def shown(server: Server, *arguments: str) -> str:
    done = server.run(*arguments)
    assert done.exit_code == 0, done.stderr
    assert max(map(len, done.stdout.splitlines()), default=0) <= 80
    return done.stdout


@pytest.fixture(scope="module")
def imported(server: Server) -> Server:
    dry = server.run("wisdom", "import", str(EXAMPLES), "--dry-run")
    assert dry.stdout == "35 past incidents would be taken in, 0 were known.\n"
    assert "35 past incidents were taken in, 0 were known." in shown(
        server, "wisdom", "import", str(EXAMPLES)
    )
    return server


def found(server: Server, text: str) -> list[dict[str, Any]]:
    """What is found, once the import has been read into memory."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        page = json.loads(server.run("wisdom", "search", text, "--json").stdout)
        if page["found"] and "meaning" in page["found"][0]["by"]:
            return list(page["found"])
        assert time.monotonic() < deadline, page
        time.sleep(0.1)


def test_importing_again_changes_nothing(imported: Server) -> None:
    assert "0 past incidents were taken in, 35 were known." in shown(
        imported, "wisdom", "import", str(EXAMPLES)
    )


def test_past_incidents_are_found_and_shown(imported: Server) -> None:
    best = found(imported, "no space left")[0]["case"]
    assert best["name"] == "ShopDiskFull"
    text = shown(imported, "wisdom", "search", "no space left", "--limit", "3")
    assert "ShopDiskFull on shop" in text
    assert "escalated" in text
    text = shown(imported, "wisdom", "show", best["incident"])
    assert "imported: a precedent, but no proof of a playbook" in text
    assert "reference=INC-" in text
    assert "no such past incidents" in shown(imported, "wisdom", "search", "--service", "nobody")
    assert imported.run("wisdom", "show", "past_none").exit_code == 1


def test_a_decision_shows_what_it_leaned_on(imported: Server) -> None:
    data = {"annotations": {"summary": "no space left on device"}}
    incident = imported.open(id="full", type="ShopDiskFull", data=data)
    imported.wait_for(incident, "escalated")
    text = shown(imported, "show", incident)
    assert "like past incidents" in text
    assert "by fingerprint" in text
    text = shown(imported, "audit", "precedents", incident)
    assert "this plan" in text
    assert "escalated" in text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{}\n" * 3, "line 1: service: Field required"),
        (b"\n" * 7000 + b"[]\n", "line 7001: Input should be"),
        (b"x" * 200_000, "line 1: it has more than 65536 bytes"),
        (b"", "there is no past incident"),
    ],
)
def test_a_file_with_mistakes_is_refused_whole(
    server: Server, tmp_path: Path, content: bytes, said: str
) -> None:
    file = tmp_path / "past.jsonl"
    file.write_bytes(EXAMPLES.read_bytes().replace(b"INC-", b"NEW-") + content if content else b"")
    offset = 35 if content else 0
    done = server.run("wisdom", "import", str(file))
    assert done.exit_code == 1
    number, _, rest = said.removeprefix("line ").partition(":")
    expected = f"line {int(number) + offset}:{rest}" if said.startswith("line") else said
    assert expected in done.stderr
    page = json.loads(server.run("wisdom", "search", "--limit", "100", "--json").stdout)
    references = [hit["case"]["labels"].get("reference", "") for hit in page["found"]]
    assert not [name for name in references if name.startswith("NEW-")]


def test_a_long_file_goes_in_pieces(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "long.jsonl"
    line = '{{"service": "long", "name": "Odd", "opened_at": "2026-01-02", "duration": {number}}}\n'
    file.write_text("".join(line.format(number=number) for number in range(6000)))
    assert "6000 past incidents were taken in" in shown(server, "wisdom", "import", str(file))


def test_a_file_that_is_not_there_is_told(server: Server, tmp_path: Path) -> None:
    done = server.run("wisdom", "import", str(tmp_path / "nothing.jsonl"))
    assert done.exit_code == 1
    assert "cannot be read" in done.stderr
