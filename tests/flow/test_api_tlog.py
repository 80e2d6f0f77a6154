"""The log over HTTP, as an independent client reads it: by the words of C2SP tlog-tiles and RFC 9162 alone.

Nothing here uses our code for trees, tiles and notes: the tree is rebuilt by the recursive definition.
"""

import base64
import gzip
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from doorstep import Doorstep, settings

from penelope.domain.work import Change
from penelope.entry.api.app import create_app
from penelope.flow.keys import Scope
from penelope.flow.log import LogStore, SignedCheckpoint

ORIGIN = "log.example.com/penelope"


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doorstep]:
    folder = tmp_path_factory.mktemp("tlog")
    ledger = {"origin": ORIGIN, "keys": "ledger-keys", "checkpoint_seconds": 0.05}
    with Doorstep(settings(folder, ledger=ledger)) as door:
        yield door


# --- an independent client --------------------------------------------------------------------------------


def sha(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def root_of(leaves: list[bytes]) -> bytes:
    """MTH of RFC 9162, 2.1.1, over leaf hashes."""
    if len(leaves) < 2:
        return leaves[0] if leaves else sha(b"")
    left = 1
    while left * 2 < len(leaves):
        left *= 2
    return sha(b"\x01" + root_of(leaves[:left]) + root_of(leaves[left:]))


def path_of(place: str, index: int, width: int = 256) -> str:
    text = f"{index:03}"
    while len(text) % 3:
        text = f"0{text}"
    parts = [text[at : at + 3] for at in range(0, len(text), 3)]
    suffix = "" if width == 256 else f".p/{width}"
    return f"/log/tile/{place}/" + "/".join([*(f"x{part}" for part in parts[:-1]), parts[-1]]) + suffix


@dataclass
class Seen:
    """A checkpoint after its signature was verified."""

    size: int
    root: bytes
    note: str


def checkpoint(door: Doorstep) -> Seen:
    answer = door.ask("GET", "/log/checkpoint", key=None)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    text, lines = answer.text.split("\n\n")
    origin, size, root = text.split("\n")
    (vkey,) = [each.vkey for each in door.running.log_keys.verifiers]
    name, key_id, material = vkey.split("+", 2)
    raw = base64.b64decode(material)
    assert (origin, name) == (ORIGIN, ORIGIN)
    assert key_id == sha(f"{name}\n".encode() + raw)[:4].hex()
    (line,) = lines.splitlines()
    dash, signer, signature = line.split(" ")
    given = base64.b64decode(signature)
    assert (dash, signer, given[:4].hex()) == ("\u2014", ORIGIN, key_id)
    Ed25519PublicKey.from_public_bytes(raw[1:]).verify(given[4:], f"{text}\n".encode())
    return Seen(int(size), base64.b64decode(root), answer.text)


def fetch(door: Doorstep, path: str) -> bytes:
    answer = door.ask("GET", path, key=None)
    assert answer.status_code == 200, path
    assert answer.headers["content-type"] == "application/octet-stream"
    assert "immutable" in answer.headers["cache-control"]
    return answer.content


def bundled(data: bytes) -> list[bytes]:
    entries = []
    while data:
        length = int.from_bytes(data[:2], "big")
        entries.append(data[2 : 2 + length])
        assert len(entries[-1]) == length
        data = data[2 + length :]
    return entries


def widths(size: int) -> list[tuple[int, int]]:
    """Index and width of the tiles that hold so many hashes."""
    return [(index, min(256, size - index * 256)) for index in range(-(-size // 256))]


def entries_of(door: Doorstep, size: int) -> list[bytes]:
    return [
        entry
        for index, width in widths(size)
        for entry in bundled(fetch(door, path_of("entries", index, width)))
    ]


def grow(door: Doorstep, number: int) -> None:
    """Saves so many units at once, and waits until they are signed."""
    ledger, before = door.running.ledger, door.run(door.running.log.size())
    changes = [
        Change(
            unit=f"unit-{before + each}",
            kind="decision",
            incident="inc_test",
            status="observe",
            attributes={"number": each},
            event="DecisionMade",
            actor="penelope",
            reason="a test",
        )
        for each in range(number)
    ]
    door.run(ledger.save(*changes))
    door.until(
        lambda: door.run(door.running.log.latest()), lambda last: last is not None and last.size >= before + number
    )  # fmt: skip


# --- what it can do ---------------------------------------------------------------------------------------


def test_the_whole_log_can_be_fetched_and_counted_again(door: Doorstep) -> None:
    grow(door, 600)
    seen = checkpoint(door)
    entries = entries_of(door, seen.size)
    leaves = [sha(b"\x00" + entry) for entry in entries]
    assert len(leaves) == seen.size
    assert root_of(leaves) == seen.root
    assert {json.loads(entry)["schema"] for entry in entries} == {1}
    for index, width in widths(seen.size):
        assert fetch(door, path_of("0", index, width)) == b"".join(leaves[index * 256 :][:width])
    above = [root_of(leaves[at : at + 256]) for at in range(0, seen.size // 256 * 256, 256)]
    assert fetch(door, path_of("1", 0, len(above))) == b"".join(above)


def test_a_later_checkpoint_continues_an_earlier_one(door: Doorstep) -> None:
    grow(door, 3)
    before = checkpoint(door)
    grow(door, 300)
    after = checkpoint(door)
    assert after.size >= before.size + 300
    leaves = [sha(b"\x00" + entry) for entry in entries_of(door, after.size)]
    assert root_of(leaves) == after.root
    assert root_of(leaves[: before.size]) == before.root


def test_a_partial_tile_of_any_width_is_served_even_if_it_was_filled_since(door: Doorstep) -> None:
    grow(door, 260)
    leaves, entries = fetch(door, path_of("0", 0)), fetch(door, path_of("entries", 0))
    assert (len(leaves), len(bundled(entries))) == (8192, 256)
    for width in (1, 2, 100, 255):
        assert fetch(door, path_of("0", 0, width)) == leaves[: 32 * width]
        assert bundled(fetch(door, path_of("entries", 0, width))) == bundled(entries)[:width]


def test_entries_are_compressed_for_whoever_can_take_it(door: Doorstep) -> None:
    grow(door, 50)
    path = path_of("entries", 0, 50)
    plain = door.ask("GET", path, key=None, headers={"Accept-Encoding": "identity"})
    packed = door.ask("GET", path, key=None, headers={"Accept-Encoding": "br, gzip"})
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert plain.headers["vary"] == packed.headers["vary"] == "Accept-Encoding"
    assert packed.content == plain.content
    assert int(packed.headers["content-length"]) < len(plain.content) == int(plain.headers["content-length"])
    assert len(gzip.compress(plain.content)) < len(plain.content)


def test_no_entry_names_anybody(door: Doorstep) -> None:
    incident = door.open(id="named", type="Named", data={"annotations": {"summary": "Ada was here"}})
    door.wait_for(incident, "escalated")
    latest = door.running.log.latest
    size = door.run(door.running.history.figures()).entries
    door.until(lambda: door.run(latest()), lambda last: last.size >= size)
    mine = [entry for entry in entries_of(door, checkpoint(door).size) if incident.encode() in entry]
    assert mine
    for entry in mine:
        assert b"Ada" not in entry
        assert b"penelope" not in entry
        assert json.loads(entry)["actor"].startswith("act_")


# --- what is not there ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/00/000",
        "tile/0/0",
        "tile/0/999",
        "tile/0/x000/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/7/000",
        "tile/7/000.p/1",
        "tile/entries/999",
        "tile/entries/999.p/1",
        "tile/entries/0000",
        "tile/entries",
        "tile/0",
        "tile/",
        "tile/data/000",
        "checkpoint/",
        "",
    ],
)
def test_what_is_not_there_is_not_found(door: Doorstep, path: str) -> None:
    grow(door, 1)
    answer = door.ask("GET", f"/log/{path}", key=None, follow_redirects=False)
    assert answer.status_code in {404, 307 if path == "checkpoint/" else 404}
    if answer.status_code == 404:
        assert answer.json()["code"] == "no_such_route"


class Behind:
    """The log of a moment at which no more than this was signed."""

    def __init__(self, log: LogStore, latest: SignedCheckpoint | None) -> None:
        self._log = log
        self._latest = latest

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def latest(self) -> SignedCheckpoint | None:
        return self._latest


@contextmanager
def signed_no_further(door: Doorstep, latest: SignedCheckpoint | None) -> Iterator[None]:
    running = door.running
    door.app.state.running = replace(running, log=Behind(running.log, latest))
    try:
        yield
    finally:
        door.app.state.running = running


def test_nothing_beyond_the_checkpoint_is_served(door: Doorstep) -> None:
    grow(door, 1)
    before = door.run(door.running.log.latest())
    grow(door, 1)
    index, width = divmod(before.size, 256)
    with signed_no_further(door, before):
        for place in ("0", "entries"):
            assert width == 0 or fetch(door, path_of(place, index, width))
            assert door.ask("GET", path_of(place, index, width + 1), key=None).status_code == 404
    for place in ("0", "entries"):
        assert fetch(door, path_of(place, index, width + 1))


def test_before_anything_is_signed_there_is_nothing(door: Doorstep) -> None:
    grow(door, 1)
    with signed_no_further(door, None):
        for path in ("checkpoint", "tile/0/000.p/1", "tile/entries/000.p/1"):
            assert door.ask("GET", f"/log/{path}", key=None).status_code == 404
        answer = door.ask("GET", "/api/v1/ledger/checkpoint")
        assert (answer.status_code, answer.json()["retryable"]) == (503, True)
        assert door.get("/api/v1/ledger/stats")["checkpoint"] is None


def test_what_was_lost_is_not_served(door: Doorstep) -> None:
    grow(door, 1)
    latest = door.run(door.running.log.latest())
    index, width = widths(latest.size + 1)[-1]
    with signed_no_further(door, replace(latest, size=latest.size + 1)):
        for place in ("0", "entries"):
            assert door.ask("GET", path_of(place, index, width), key=None).status_code == 404


# --- who may read -----------------------------------------------------------------------------------------


def test_a_log_that_is_not_public_needs_a_key(door: Doorstep, tmp_path: Path) -> None:
    grow(door, 2)
    wanted = settings(tmp_path, ledger={"public": False})
    app = create_app(wanted)
    app.state.running = replace(door.running, settings=wanted)
    app.state.acquaintances = door.app.state.acquaintances

    async def ask(path: str, key: str | None) -> httpx.Response:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://penelope.test") as client:
            return await client.get(f"/log/{path}", headers=headers)

    for path in ("checkpoint", "tile/0/000.p/2", "tile/entries/000.p/2"):
        assert door.run(ask(path, None)).status_code == 401
        assert door.run(ask(path, door.key(Scope.WRITE))).status_code == 403
        answer = door.run(ask(path, door.key(Scope.READ)))
        assert answer.status_code == 200
        assert "public" not in answer.headers["cache-control"]


def test_the_client_above_would_notice_a_wrong_signature(door: Doorstep) -> None:
    grow(door, 1)
    (vkey,) = [each.vkey for each in door.running.log_keys.verifiers]
    raw = base64.b64decode(vkey.split("+", 2)[2])
    text, line = checkpoint(door).note.split("\n\n")
    given = base64.b64decode(line.split(" ")[2])
    with pytest.raises(InvalidSignature):
        Ed25519PublicKey.from_public_bytes(raw[1:]).verify(given[4:], text.encode())
