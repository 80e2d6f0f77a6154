"""Whoever owns the database but not the key can change it, but not so that one checkpoint kept outside does not show it."""

import random
import shutil
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from tampered import SIGNED, SIZE, UNITS, Copy, Seed, rebuild_tiles, rewrite

from penelope.adapters.signers.ed25519 import Ed25519Signer
from penelope.ledger.chain import Flaw
from penelope.ledger.notes import Checkpoint, sign_checkpoint
from penelope.store import tables
from penelope.store.verification import SqlVerification

VICTIM = 300
"""The place in the log of the entry that is tampered with: in the second tile, between checkpoints of 160 and 320."""

LAST = SIZE - 1


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def seed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seed]:
    server = request.getfixturevalue("postgres_server") if request.param == "postgresql" else None
    made = Seed(tmp_path_factory.mktemp("seed"), server)
    yield made
    made.drop()


@pytest.fixture(scope="module")
def sqlite_seed(tmp_path_factory: pytest.TempPathFactory) -> Seed:
    return Seed(tmp_path_factory.mktemp("file"), None)


class Case(NamedTuple):
    """What an attacker does, the place in the log that is named exactly, and words that are said."""

    attack: Callable[[Copy], Awaitable[None]]
    located: int | None
    says: str = ""


THE_LINE = 'seq = (SELECT seq FROM log_leaves WHERE "index" = :index)'
THE_PAYLOAD = (
    "EXISTS (SELECT 1 FROM units_of_work_history entry JOIN log_leaves leaf ON leaf.seq = entry.seq WHERE "
    'leaf."index" = :index AND entry.unit = history_payloads.unit AND entry.version = history_payloads.version)'
)


def sql(*statements: str, **values: Any) -> Callable[[Copy], Awaitable[None]]:
    async def attack(copy: Copy) -> None:
        for statement in statements:
            given = {"index": VICTIM, "last": LAST, **values}
            await copy.change(statement, **{name: given[name] for name in given if f":{name}" in statement})

    return attack


# --- edits ------------------------------------------------------------------------------------------------

NOTHING = "replace(body, 'DecisionMade', 'DecisionLost')"


async def edit_body_and_hash(copy: Copy) -> None:
    await rewrite(copy, VICTIM, follow=False)


async def edit_body_hash_and_tile(copy: Copy) -> None:
    await rewrite(copy, VICTIM, follow=False)
    entry, tile = (
        await copy.entry(VICTIM),
        await copy.row('SELECT data FROM log_tiles WHERE level = 0 AND "index" = 1'),
    )
    at = (VICTIM - 256) * 32
    data = tile["data"][:at] + bytes.fromhex(entry["hash"]) + tile["data"][at + 32 :]
    await copy.change('UPDATE log_tiles SET data = :data WHERE level = 0 AND "index" = 1', data=data)


async def edit_and_rebuild_tiles(copy: Copy) -> None:
    await rewrite(copy, VICTIM, follow=False)
    await rebuild_tiles(copy)


# --- deletions, insertions, disorder ----------------------------------------------------------------------


async def delete_line_and_leaf(copy: Copy) -> None:
    entry = await copy.entry(VICTIM)
    await copy.change("DELETE FROM units_of_work_history WHERE seq = :seq", seq=entry["seq"])
    await copy.change("DELETE FROM log_leaves WHERE seq = :seq", seq=entry["seq"])


async def delete_line_and_cut_the_tile(copy: Copy) -> None:
    """What is left of the tile is what is left of history."""
    place, index = 'level = 0 AND "index" = 2', 2 * 256 + 38
    entry = await copy.entry(index)
    tile = await copy.row(f"SELECT data FROM log_tiles WHERE {place}")
    await copy.change("DELETE FROM units_of_work_history WHERE seq = :seq", seq=entry["seq"])
    data = tile["data"][: 38 * 32] + tile["data"][39 * 32 :]
    await copy.change(f"UPDATE log_tiles SET data = :data WHERE {place}", data=data)


async def delete_and_close_the_gap(copy: Copy) -> None:
    await delete_line_and_leaf(copy)
    for sign in ("-", ""):
        # In two steps, because no two leaves may ever have the same place.
        change = (
            'UPDATE log_leaves SET "index" = -"index" + 1 WHERE "index" > :index'
            if sign
            else ('UPDATE log_leaves SET "index" = -"index" WHERE "index" < 0')
        )
        await copy.change(change, **({"index": VICTIM} if sign else {}))
    await copy.change("UPDATE log_state SET size = size - 1")


async def insert_line(copy: Copy) -> None:
    """A line that is older than what the log took in last, in a unit of its own."""
    entry = dict(await copy.entry(VICTIM))
    low = await copy.row("SELECT min(seq) AS seq, min(tx) AS tx FROM units_of_work_history")
    entry |= {"seq": low["seq"] - 1, "tx": low["tx"], "unit": "inc_9", "version": 1}
    names = ", ".join(entry)
    await copy.change(
        f"INSERT INTO units_of_work_history ({names}) VALUES ({', '.join(f':{name}' for name in entry)})",
        **entry,
    )


async def insert_at_the_end(copy: Copy) -> None:
    """A line after the last that was taken in, which nothing in its unit leads to."""
    entry = dict(await copy.entry(VICTIM))
    high = await copy.row("SELECT max(seq) AS seq, max(version) AS version FROM units_of_work_history")
    entry |= {"seq": high["seq"] + 1, "version": high["version"] + 1}
    names = ", ".join(entry)
    await copy.change(
        f"INSERT INTO units_of_work_history ({names}) VALUES ({', '.join(f':{name}' for name in entry)})",
        **entry,
    )


async def swap_lines(copy: Copy) -> None:
    one, other = (await copy.entry(VICTIM))["seq"], (await copy.entry(VICTIM + 1))["seq"]
    for old, new in ((one, -1), (other, one), (-1, other)):
        await copy.change("UPDATE units_of_work_history SET seq = :new WHERE seq = :old", old=old, new=new)


async def swap_leaves(copy: Copy) -> None:
    for old, new in ((VICTIM, -1), (VICTIM + 1, VICTIM), (-1, VICTIM + 1)):
        await copy.change('UPDATE log_leaves SET "index" = :new WHERE "index" = :old', old=old, new=new)


async def swap_leaves_and_rebuild(copy: Copy) -> None:
    await swap_leaves(copy)
    await rebuild_tiles(copy)


# --- the tail ---------------------------------------------------------------------------------------------

CUT_AT = SIGNED[-2]


async def truncate_lines(copy: Copy) -> None:
    await copy.change(
        'DELETE FROM units_of_work_history WHERE seq IN (SELECT seq FROM log_leaves WHERE "index" >= :cut)',
        cut=CUT_AT,
    )


async def truncate_everything(copy: Copy) -> None:
    """History, payloads, leaves, tiles and checkpoints; only the units' states stay as they were."""
    await truncate_lines(copy)
    await copy.change(
        "DELETE FROM history_payloads WHERE NOT EXISTS (SELECT 1 FROM units_of_work_history entry "
        "WHERE entry.unit = history_payloads.unit AND entry.version = history_payloads.version)"
    )
    await copy.change('DELETE FROM log_leaves WHERE "index" >= :cut', cut=CUT_AT)
    for table in ("log_checkpoints", "cosignatures"):
        await copy.change(f"DELETE FROM {table} WHERE size > :cut", cut=CUT_AT)
    await rebuild_tiles(copy)


# --- checkpoints ------------------------------------------------------------------------------------------


async def sign_another_root_as_another_log(copy: Copy) -> None:
    """What is of a log with another name has no key here, but it is of the same entries."""
    stranger = Ed25519Signer.generate("another.example/log")
    note = await sign_checkpoint(Checkpoint(stranger.name, 320, bytes(32)), [stranger])
    await copy.change("DELETE FROM cosignatures WHERE size = 320")
    await copy.change(
        "UPDATE log_checkpoints SET root = :root, note = :note WHERE size = 320",
        root=bytes(32).hex(),
        note=note.decode(),
    )


async def sign_with_another_key(copy: Copy) -> None:
    row = await copy.row("SELECT * FROM log_checkpoints WHERE size = 320")
    stranger = Ed25519Signer.generate(copy.outside.origin)
    note = await sign_checkpoint(Checkpoint(copy.outside.origin, 320, bytes.fromhex(row["root"])), [stranger])
    await copy.change("UPDATE log_checkpoints SET note = :note WHERE size = 320", note=note.decode())


CASES: dict[str, Case] = {
    "edit a column": Case(sql(f"UPDATE units_of_work_history SET event = 'X' WHERE {THE_LINE}"), VICTIM),
    "edit the body": Case(sql(f"UPDATE units_of_work_history SET body = {NOTHING} WHERE {THE_LINE}"), VICTIM),
    "edit body and hash": Case(edit_body_and_hash, VICTIM),
    # The next entry of the unit still names the hash of this one, and the tile above that of its tile.
    "edit body, hash and tile": Case(edit_body_hash_and_tile, VICTIM + UNITS, "entries 256 to 511"),
    "edit body and hash, rebuild tiles": Case(edit_and_rebuild_tiles, VICTIM + UNITS, "entries 160 to 319"),
    "edit the stored hash": Case(
        sql(f"UPDATE units_of_work_history SET hash = '{'0' * 64}' WHERE {THE_LINE}"), VICTIM
    ),
    "delete a line": Case(
        sql(f"DELETE FROM units_of_work_history WHERE {THE_LINE}"), None, f"entry {VICTIM} of the log"
    ),
    "delete a leaf": Case(sql('DELETE FROM log_leaves WHERE "index" = :index'), VICTIM, "is not in the log"),
    "delete the last leaf": Case(
        sql('DELETE FROM log_leaves WHERE "index" = :last'), LAST, f"entry {LAST} of the log"
    ),
    "delete a line and its leaf": Case(
        delete_line_and_leaf, None, f"entry {VICTIM} of the log: the leaf is gone"
    ),
    "delete a line and its hash in the tile": Case(
        delete_line_and_cut_the_tile, None, "tile/0/002 is missing, or too short"
    ),
    "delete them and close the gap": Case(delete_and_close_the_gap, VICTIM + 1, "it has 599 entries"),
    "insert a line behind the log's back": Case(insert_line, None, "stands before what the log took in last"),
    "insert a line at the end": Case(insert_at_the_end, None, "does not follow the entry before it"),
    "swap two lines": Case(
        swap_lines, None, f"entries {VICTIM} to {VICTIM + 1} of the log: not what the log took in"
    ),
    "swap two leaves": Case(swap_leaves, VICTIM, "was written before the one that precedes it"),
    "swap two leaves, rebuild tiles": Case(swap_leaves_and_rebuild, VICTIM, "entries 160 to 319"),
    "truncate history": Case(truncate_lines, None, f"entry {CUT_AT} of the log"),
    "truncate everything": Case(
        truncate_everything, None, f"has {CUT_AT} entries, and a checkpoint kept elsewhere is over {SIZE}"
    ),
    "change a payload": Case(
        sql(f"UPDATE history_payloads SET body = replace(body, 'reason', 'season') WHERE {THE_PAYLOAD}"),
        VICTIM,
    ),
    "smuggle another name into a payload": Case(
        sql(
            f"""UPDATE history_payloads SET body = '{{"actor":"key:eve",' || substr(body, 2) WHERE {THE_PAYLOAD}"""
        ),
        VICTIM,
        "the stored text of its payload",
    ),
    "spell a salt in capitals": Case(
        sql(f"UPDATE history_payloads SET salt = upper(salt) WHERE {THE_PAYLOAD}"),
        VICTIM,
        "the stored text of its payload",
    ),
    "delete a payload": Case(
        sql(f"DELETE FROM history_payloads WHERE {THE_PAYLOAD}"), VICTIM, "retention did not take it"
    ),
    "move a payload": Case(
        sql(f"UPDATE history_payloads SET version = 99 WHERE {THE_PAYLOAD}"),
        VICTIM,
        "has a payload but no line of history",
    ),
    "rename an actor": Case(
        sql("UPDATE local_actors SET name = 'key:eve' WHERE name = 'key:ada'"), 1, "another name"
    ),
    "delete an actor": Case(sql("DELETE FROM local_actors WHERE name = 'key:ada'"), 1, "not known"),
    "alter a root": Case(
        sql(f"UPDATE log_checkpoints SET root = '{'0' * 64}' WHERE size = 320"), None, "over 320 entries"
    ),
    "alter a note": Case(
        sql("UPDATE log_checkpoints SET note = replace(note, '320', '319') WHERE size = 320"),
        None,
        "over 320 entries",
    ),
    "move a checkpoint": Case(
        sql("UPDATE log_checkpoints SET size = 321 WHERE size = 320"), None, "over 321 entries"
    ),
    "pass a checkpoint off as another log's": Case(
        sql("UPDATE log_checkpoints SET note = 'x' || note WHERE size = 320"),
        None,
        "over 320 entries cannot be trusted",
    ),
    "pass another root off as another log's": Case(
        sign_another_root_as_another_log, None, "at 320 entries the root is not the one that was signed"
    ),
    "replace a signature": Case(sign_with_another_key, None, "over 320 entries cannot be trusted"),
    "delete a checkpoint": Case(
        sql("DELETE FROM log_checkpoints WHERE size = 320"), None, "over 320 entries that is not there"
    ),
    "rename a witness": Case(
        sql("UPDATE cosignatures SET witness = 'me' WHERE size = 320"), None, "is by witness.example/w"
    ),
    "spoil a cosignature": Case(
        sql("UPDATE cosignatures SET line = 'x' WHERE size = 320"), None, "over 320 entries is malformed"
    ),
    "move a cosignature": Case(
        sql(
            "DELETE FROM cosignatures WHERE size = 480", "UPDATE cosignatures SET size = 480 WHERE size = 320"
        ),
        None,
        "over 480 entries does not fit",
    ),
    "shrink the log": Case(sql("UPDATE log_state SET size = 500"), None, "the sequencer stands at (500,"),
    "blow the log up": Case(
        sql("UPDATE log_state SET size = 4611686018427387904"), None, "the sequencer stands at"
    ),
    "move the cursor": Case(sql("UPDATE log_state SET seq = seq + 100"), None, "the sequencer stands at"),
    "take the state away": Case(sql("DELETE FROM log_state"), None, "has 0 states"),
    "give another transaction": Case(
        sql(f"UPDATE units_of_work_history SET tx = tx + 100000 WHERE {THE_LINE}"), None, " of the log "
    ),
    "displace a leaf": Case(
        sql('UPDATE log_leaves SET "index" = 70000 WHERE "index" = :index'),
        None,
        f"entry {VICTIM} of the log",
    ),
    "delete a tile": Case(
        sql('DELETE FROM log_tiles WHERE level = 0 AND "index" = 1'), 256, "tile/0/001 is missing"
    ),
    "delete a tile above": Case(sql("DELETE FROM log_tiles WHERE level = 1"), None, "tile/1/000 is missing"),
    "add a tile": Case(
        sql('INSERT INTO log_tiles (level, "index", data) SELECT 5, 0, data FROM log_tiles WHERE level = 1'),
        None,
        "on level 5",
    ),
    "rest elsewhere": Case(
        sql("UPDATE units_of_work SET interaction = 'approve' WHERE id = 'inc_0'"),
        None,
        "rests somewhere else",
    ),
    "file it elsewhere": Case(sql("UPDATE incidents SET service = 'bakery'"), None, "is filed as something"),
}


def said(flaws: list[Flaw]) -> str:
    return "\n".join(flaw.problem for flaw in flaws)


def test_what_nobody_touched_is_whole(seed: Seed) -> None:
    async def scene(copy: Copy) -> None:
        assert await copy.flaws() == []
        assert await copy.flaws(keys=[]) == []

    seed.run(scene)


@pytest.mark.parametrize("what", CASES)
def test_it_is_found_and_located(seed: Seed, what: str) -> None:
    case = CASES[what]

    async def scene(copy: Copy) -> None:
        located = None if case.located is None else await copy.entry(case.located)
        await case.attack(copy)
        flaws = await copy.flaws()
        assert case.says in said(flaws)
        assert flaws
        if located is not None:
            name = located["unit"], located["version"], located["seq"]
            assert name in {(flaw.unit, flaw.version, flaw.seq) for flaw in flaws}
        assert len(flaws) < SIZE

    seed.run(scene)


# --- forks ------------------------------------------------------------------------------------------------


async def fork(copy: Copy) -> None:
    """One entry says something else, and everything that follows from it says so, too."""
    await rewrite(copy, VICTIM)
    await rebuild_tiles(copy)


def ranges(flaws: list[Flaw]) -> set[str]:
    return {
        flaw.problem.partition(":")[0] for flaw in flaws if "is not the one that was signed" in flaw.problem
    }


def test_a_fork_is_located_between_the_checkpoints_beside_it(seed: Seed) -> None:
    async def scene(copy: Copy) -> None:
        await fork(copy)
        flaws = await copy.flaws()
        assert ranges(flaws) == {"entries 160 to 319 of the log"}
        assert len(flaws) == 1
        assert "which last fitted at 160 entries" in said(flaws)

    seed.run(scene)


def test_a_fork_is_located_though_the_checkpoints_after_it_were_taken_away(seed: Seed) -> None:
    async def scene(copy: Copy) -> None:
        await fork(copy)
        for table in ("log_checkpoints", "cosignatures"):
            await copy.change(f"DELETE FROM {table} WHERE size > 160")
        flaws = await copy.flaws()
        assert ranges(flaws) == {f"entries 160 to {LAST} of the log"}
        assert len(flaws) == 1

    seed.run(scene)


def test_checkpoints_made_up_for_a_fork_are_not_believed(seed: Seed) -> None:
    async def scene(copy: Copy) -> None:
        await fork(copy)
        head = await SqlVerification(copy.reading).head()
        forged = Checkpoint(copy.outside.origin, SIZE, bytes.fromhex(head.root))
        note = await sign_checkpoint(forged, [Ed25519Signer.generate(forged.origin)])
        for size in SIGNED[1:-1]:
            await copy.change(f"DELETE FROM log_checkpoints WHERE size = {size}")
        await copy.change(
            "UPDATE log_checkpoints SET root = :root, note = :note WHERE size = :size",
            root=head.root,
            note=note.decode(),
            size=SIZE,
        )
        flaws = await copy.flaws()
        assert (
            f"the checkpoint over {SIZE} entries cannot be trusted: no trusted key signed the note"
            in said(flaws)
        )
        assert ranges(flaws) == {f"entries 160 to {LAST} of the log"}
        # Without the log's keys nothing but the one outside can be believed.
        assert ranges(await copy.flaws(keys=[])) == {f"entries 0 to {LAST} of the log"}

    seed.run(scene)


def test_no_flaw_hides_a_fork_behind_it(seed: Seed) -> None:
    async def scene(copy: Copy) -> None:
        for statement in (
            f"UPDATE units_of_work_history SET body = {NOTHING} WHERE {THE_LINE}",
            f"UPDATE units_of_work_history SET event = 'X' WHERE {THE_LINE}",
        ):
            await copy.change(statement, index=10)
        tile = (await copy.row('SELECT data FROM log_tiles WHERE level = 0 AND "index" = 0'))["data"]
        await rewrite(copy, VICTIM)
        await rebuild_tiles(copy)
        rebuilt = (await copy.row('SELECT data FROM log_tiles WHERE level = 0 AND "index" = 0'))["data"]
        assert rebuilt[:320] == tile[:320]
        await copy.change('UPDATE log_tiles SET data = :data WHERE level = 0 AND "index" = 0', data=tile)
        located = await copy.entry(10)
        flaws = await copy.flaws()
        assert located["seq"] in {flaw.seq for flaw in flaws}
        assert "entries 0 to 255 of the log: tile/1/000 does not follow" in said(flaws)
        assert ranges(flaws) == {"entries 160 to 319 of the log"}

    seed.run(scene)


def test_an_old_copy_is_known_by_the_checkpoint_outside(seed: Seed) -> None:
    """An older copy is whole in itself: lines, payloads, states, leaves, tiles and checkpoints."""

    async def scene(copy: Copy) -> None:
        flaws = await copy.flaws()
        assert [flaw.problem for flaw in flaws] == [
            f"the log was cut, or is an older copy: it has 320 entries, and a checkpoint kept elsewhere is over {SIZE}"
        ]

    seed.run(scene, of="older")


# --- bits -------------------------------------------------------------------------------------------------

UNHASHED = {
    "units_of_work.last_heartbeat_at",
    "local_actors.last_heartbeat_at",
    "log_checkpoints.signed_at",
    "cosignatures.signed_at",
    # As long as it leaves lines in order; see CASES.
    "units_of_work_history.tx",
}
"""What nothing is computed from (SqlVerification)."""

TABLES = (
    tables.units_of_work,
    tables.units_of_work_history,
    tables.history_payloads,
    tables.local_actors,
    tables.incidents,
    tables.log_state,
    tables.log_leaves,
    tables.log_tiles,
    tables.log_checkpoints,
    tables.cosignatures,
)
COLUMNS = [f"{table.name}.{column.name}" for table in TABLES for column in table.columns]


def flipped(value: Any, bit: int) -> Any:
    """The value with one bit of it changed; a text stays a text."""
    if isinstance(value, int):
        return value ^ (1 << bit % 31)
    if isinstance(value, bytes):
        at = bit // 8 % len(value)
        return value[:at] + bytes([value[at] ^ (1 << bit % 8)]) + value[at + 1 :]
    at = bit // 7 % len(value)
    return value[:at] + chr(ord(value[at]) ^ (1 << bit % 7)) + value[at + 1 :]


async def flip(copy: Copy, name: str, number: int, bit: int) -> bool:
    """Changes a bit in the column of some row; False where it makes no text, or another row of the same key is there."""
    table, _, column = name.partition(".")
    keys = [f'"{key.name}"' for key in tables.metadata.tables[table].primary_key]
    async with copy.reading.connect() as connection:
        query = f'SELECT {", ".join(keys)}, "{column}" AS victim FROM {table} WHERE "{column}" IS NOT NULL ORDER BY {", ".join(keys)}'
        found = (await connection.execute(text(query))).all()
    *where, old = found[number % len(found)]
    new = flipped(old, bit)
    if new in {"", old} or (isinstance(new, str) and "\0" in new):
        return False
    change = f'UPDATE {table} SET "{column}" = :new WHERE ' + " AND ".join(
        f"{key} = :key{n}" for n, key in enumerate(keys)
    )
    with suppress(IntegrityError):
        await copy.change(change, new=new, **{f"key{n}": value for n, value in enumerate(where)})
        return True
    return False


@pytest.mark.parametrize("name", [name for name in COLUMNS if name not in UNHASHED])
def test_one_bit_in_a_column_is_found(seed: Seed, name: str) -> None:
    async def scene(copy: Copy) -> None:
        assert await flip(copy, name, 77, 16)
        assert await copy.flaws()

    seed.run(scene)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from([name for name in COLUMNS if name not in UNHASHED]),
    number=st.integers(0, SIZE - 1),
    bit=st.integers(0, 65_535),
)
def test_one_bit_anywhere_in_the_tables_is_found(sqlite_seed: Seed, name: str, number: int, bit: int) -> None:
    async def scene(copy: Copy) -> None:
        if await flip(copy, name, number, bit):
            assert await copy.flaws()

    sqlite_seed.run(scene)


def test_every_bit_of_the_tiles_counts(seed: Seed) -> None:
    async def scene(copy: Copy) -> None:
        for level, index in ((0, 0), (0, 2), (1, 0)):
            place = f'level = {level} AND "index" = {index}'
            data = (await copy.row(f"SELECT data FROM log_tiles WHERE {place}"))["data"]
            for at in (0, len(data) // 2, len(data) - 1):
                spoilt = data[:at] + bytes([data[at] ^ 128]) + data[at + 1 :]
                await copy.change(f"UPDATE log_tiles SET data = :data WHERE {place}", data=spoilt)
                first = index * 256 + at // 32 << 8 * level
                words = (
                    f"entry {first} of the log:"
                    if level == 0
                    else f"entries {first} to {first + 255} of the log:"
                )
                assert words in said(await copy.flaws())
            await copy.change(f"UPDATE log_tiles SET data = :data WHERE {place}", data=data)

    seed.run(scene)


# --- bytes of SQLite's file -------------------------------------------------------------------------------


def contents(file: Path) -> list[Any]:
    """Every row of every table, read without an index."""
    with closing(sqlite3.connect(f"file:{file}?immutable=1", uri=True)) as database:
        names = [
            row[0]
            for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        ]
        return [(name, database.execute(f'SELECT * FROM "{name}" NOT INDEXED').fetchall()) for name in names]


def unhashed(rows: list[Any], before: list[Any]) -> bool:
    """Whether two dumps differ at most in what nothing is computed from."""
    left, right = dict(rows), dict(before)
    if left.keys() != right.keys():
        return False
    covered = {table.name: table for table in TABLES}
    for name in left.keys() & covered.keys():
        kept = [
            n for n, column in enumerate(covered[name].columns) if f"{name}.{column.name}" not in UNHASHED
        ]
        if [[row[n] for n in kept] for row in left[name]] != [[row[n] for n in kept] for row in right[name]]:
            return False
    return True


@pytest.mark.parametrize("number", range(40))
def test_one_bit_of_the_file_is_found_or_holds_no_history(sqlite_seed: Seed, number: int) -> None:
    chance = random.Random(number)
    before = contents(sqlite_seed.file)

    def alter(file: Path) -> None:
        data = bytearray(file.read_bytes())
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        file.write_bytes(data)
        shutil.copy(file, file.with_suffix(".spoilt"))

    async def scene(copy: Copy) -> None:
        flaws = await copy.flaws()
        spoilt = Path(copy.url.removeprefix("sqlite:///")).with_suffix(".spoilt")
        assert flaws or unhashed(contents(spoilt), before)

    sqlite_seed.run(scene, alter)
