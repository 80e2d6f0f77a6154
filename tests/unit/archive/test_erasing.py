"""A person is erased from payloads, archive and present state; entries and proofs stay."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from vault import DAYS, Play, Vault, change

from penelope.domain.approval import Approval, ApprovalStatus
from penelope.domain.outcome import OutcomeKind
from penelope.domain.precedent import PastCase, Stratum
from penelope.domain.work import Change
from penelope.errors import ChainBroken, InvalidRequest, Unavailable
from penelope.flow import records
from penelope.flow.erasing import ERASED, Count, Eraser, Traces
from penelope.flow.keys import Key, Scope
from penelope.flow.wisdom import Meaning
from penelope.ledger.erasures import Archived, Erased
from penelope.store.cases import SqlCases
from penelope.store.keys import SqlKeys
from penelope.store.persons import SqlPersons
from penelope.store.reader import SqlReader
from penelope.store.transaction import SqlTransaction
from penelope.testing.past import past_case

ADA = "key:ada"
WORDS = "my sister's shop is down"


def approval(now: datetime, actor: str = ADA, comment: str = WORDS, incident: str = "inc-0") -> Change:
    given = Approval(
        id=f"{incident}:approval",
        incident=incident,
        plan_digest="0" * 64,
        reasons=("it is risky",),
        status=ApprovalStatus.REJECTED,
        requested_at=now,
        expires_at=now + timedelta(days=1),
        decided_at=now,
        decided_by=actor,
        comment=comment,
    )
    return records.of_approval(given, "ApprovalRefused", comment or f"{actor} rejected it", actor=actor)


async def write_about_ada(vault: Vault) -> None:
    """What she did, what Penelope says of it, and what others did."""
    now = vault.clock.now()
    await vault.ledger.save(
        approval(now),
        replace(change("inc-0:gate"), attributes={"reasons": [f"{ADA} approved this plan"], "by": {"n": 1}}),
        replace(change("inc-0:outcome"), reason=f"the plan was rejected: {WORDS}"),
        replace(change("inc-0:end"), attributes={"reason": f"the plan was rejected: {WORDS}"}),
        approval(now, "key:adam", "I am not Ada", "inc-1"),
        replace(change("inc-2:note"), incident="inc-2", details={"asked": f"or ask {ADA}."}),
    )


async def everything(vault: Vault) -> str:
    """All text that the database holds, apart from its own books."""
    found = []
    async with vault.reading.connect() as connection:
        for table in ("history_payloads", "units_of_work", "local_actors", "decisions", "api_keys"):
            rows = await connection.exec_driver_sql(f"SELECT * FROM {table}")
            found += [" ".join(map(str, row)) for row in rows]
    return "\n".join(found)


async def archived_text(vault: Vault) -> str:
    return "".join(line.decode() for file in vault.files for line in vault.archive.lines(file.name))


def test_a_person_is_gone_and_others_stay(on_empty: Play) -> None:
    async def scene(vault: Vault) -> None:
        await write_about_ada(vault)
        checkpoint = await vault.log_all()
        proofs = [await vault.proof(place, checkpoint) for place in range(6)]
        before = await vault.entries()

        count = await vault.eraser.erase(ADA, "request 4711")

        assert count == Count(payloads=5, archived=0, units=3)
        text = await everything(vault)
        assert ADA not in text.replace("key:adam", "")
        assert WORDS not in text
        assert "I am not Ada" in text
        assert "key:adam" in text
        after = await vault.entries()
        assert [await vault.proof(place, checkpoint) for place in range(6)] == proofs
        assert [entry.body for entry in after[:6]] == [entry.body for entry in before]
        assert [entry.erased for entry in after[:6]] == [True, True, True, True, False, True]
        assert await vault.flaws() == []
        assert (await vault.log_all()).size > checkpoint.size

    on_empty(scene)


def test_past_cases_do_not_name_the_person_any_more(on_empty: Play) -> None:
    async def scene(vault: Vault) -> None:
        await write_about_ada(vault)
        now = vault.clock.now()
        names = ("past_1", "past_2", "past_3")
        told = [
            imported_case(now, names[0], f"{ADA} restarted it", {"runbook": "restart"}),
            imported_case(now, names[1], "100 % of requests failed", {"on_call": ADA}),
            imported_case(now, names[2], "it is key:adam again", {"on_call": "key:adam"}),
        ]
        store = SqlCases(vault.writer, vault.reading)
        async with vault.writer.connect() as connection:
            await connection.execution_options(isolation_level="SERIALIZABLE")
            async with connection.begin():
                await SqlTransaction(connection, now).import_cases(told)
        await store.keep([Meaning(incident=name, vector=b"1234") for name in names], "model", now)
        for _ in range(2):
            await vault.eraser._scrub(Traces(ADA, "pseudonym"))
            first, second, third = sorted(await store.cases(names), key=lambda case: case.incident)
            assert first == replace(told[0], summary=f"{ERASED} restarted it")
            assert second == replace(told[1], labels={"on_call": ERASED})
            assert third == told[2]
            assert {case.incident for case in await store.unindexed("model", 10)} == {"past_1", "past_2"}

    on_empty(scene)


def imported_case(now: datetime, incident: str, summary: str, labels: dict[str, str]) -> PastCase:
    return past_case(
        incident=incident,
        summary=summary,
        labels=labels,
        playbook=None,
        kind=OutcomeKind.ESCALATED,
        verified=None,
        stratum=Stratum.UNSEEN,
        confidence=None,
        imported=True,
        opened_at=now,
        ended_at=now,
    )


def test_present_state_says_that_something_was_erased(on_empty: Play) -> None:
    async def scene(vault: Vault) -> None:
        await write_about_ada(vault)
        await vault.eraser.erase(ADA, "request 4711")
        units = {unit.id: unit.attributes for unit in await SqlReader(vault.reading).units("inc-0")}
        assert units["inc-0:approval"]["decided_by"] == units["inc-0:approval"]["comment"] == ERASED
        assert units["inc-0:approval"]["plan_digest"] == "0" * 64
        assert units["inc-0:gate"] == {"reasons": [f"{ERASED} approved this plan"], "by": {"n": 1}}
        assert units["inc-0:end"] == {"reason": f"the plan was rejected: {ERASED}"}

    on_empty(scene)


def test_the_ledger_tells_of_the_erasure_by_pseudonym(on_empty: Play) -> None:
    async def scene(vault: Vault) -> None:
        await write_about_ada(vault)
        pseudonym = (await vault.entries())[0].actor_id
        await vault.eraser.erase(ADA, "request 4711")
        (told,) = [entry for entry in await vault.entries() if entry.event == "PayloadsErased"]
        assert told.reason == "request 4711"
        (unit,) = await SqlReader(vault.reading).units("ledger:erasure")
        assert Erased.of(unit) == Erased(
            subject=pseudonym, count=5, reason="request 4711", seqs=((1, 4), (6, 6))
        )

    on_empty(scene)


def test_names_in_other_tables_give_way(on_empty: Play) -> None:
    async def scene(vault: Vault) -> None:
        keys = SqlKeys(vault.writer, vault.reading)
        now = vault.clock.now()
        await write_about_ada(vault)
        pseudonym = (await vault.entries())[0].actor_id
        await keys.add(replace(key("k1", "ada", now), owner="ada@example.com"))
        await keys.add(replace(key("k2", "adam", now), owner="adam@example.com"))
        await vault.sql(DECISION)
        with pytest.raises(InvalidRequest, match="still has a good API key"):
            await vault.eraser.erase(ADA, "request 4711")
        await keys.revoke("k1", now)
        await vault.eraser.erase(ADA, "request 4711")
        assert {each.name for each in await keys.all()} == {f"erased-{pseudonym}", "adam"}
        text = await everything(vault)
        assert "ada@example.com" not in text
        assert {each.owner for each in await keys.all()} == {None, "adam@example.com"}
        # In the list of actors and where a decision was overridden; and once without the prefix, as a key.
        assert text.count(f"key:erased-{pseudonym}") == 2

    on_empty(scene)


DECISION = (
    "INSERT INTO decisions (id, unit, version, incident, service, judgement, risk, risk_band, confidence, playbook, "
    "actor, rationale, words, precedents, precedent_list, decided_at, overridden_by, overridden_at) VALUES (1, 'u', 1, 'inc-0', 's', 'act', 0, 0, 0, NULL, 'penelope', 'r', 'r', 0, '[]', "
    "'2026', 'key:ada', '2026')"
)


def key(identifier: str, name: str, now: datetime) -> Key:
    return Key(
        id=identifier,
        name=name,
        scopes=frozenset({Scope.READ}),
        digest="x",
        created_at=now,
        expires_at=None,
        revoked_at=None,
    )


def test_an_expired_key_is_no_hindrance(on_empty: Play) -> None:
    async def scene(vault: Vault) -> None:
        await write_about_ada(vault)
        now = vault.clock.now()
        await SqlKeys(vault.writer, vault.reading).add(replace(key("k1", "ada", now), expires_at=now))
        assert (await vault.eraser.erase(ADA, "request 4711")).payloads == 5

    on_empty(scene)


def test_a_person_of_an_issuer_of_tokens_is_erased_and_keys_of_others_are_left(on_empty: Play) -> None:
    async def scene(vault: Vault) -> None:
        keys, now = SqlKeys(vault.writer, vault.reading), vault.clock.now()
        who = "oidc:corp:7f3c"
        await vault.ledger.save(approval(now, who))
        await keys.add(key("k1", who, now))
        assert (await vault.eraser.erase(who, "request 4711")).payloads == 1
        assert {each.name for each in await keys.all()} == {who}
        assert WORDS not in await everything(vault)

    on_empty(scene)


def test_whoever_is_no_known_person_is_refused(on_empty: Play) -> None:
    async def scene(vault: Vault) -> None:
        await write_about_ada(vault)
        for actor in ("key:eve", "penelope", "ada", ""):
            with pytest.raises(InvalidRequest, match="is no person who has acted here"):
                await vault.eraser.erase(actor, "request 4711")
        with pytest.raises(InvalidRequest, match="the reason names the person"):
            await vault.eraser.erase(ADA, f"{ADA} asked for it")
        assert WORDS in await everything(vault)
        await vault.eraser.erase(ADA, "request 4711")
        with pytest.raises(InvalidRequest, match="or was erased before"):
            await vault.eraser.erase(ADA, "request 4711")

    on_empty(scene)


# --- in the archive ---------------------------------------------------------------------------------------


def test_the_archive_is_rewritten_and_still_proves_itself(on_vaults: Play) -> None:
    async def scene(vault: Vault) -> None:
        await fill_with_ada(vault)
        (first, second) = vault.files
        assert ADA in await archived_text(vault)

        count = await vault.eraser.erase(ADA, "request 4711")

        assert count == Count(payloads=0, archived=5, units=3)
        text = await archived_text(vault)
        assert ADA not in text.replace("key:adam", "")
        assert WORDS not in text
        assert "key:adam" in text
        assert vault.files[0] == first  # nothing of hers was in it
        assert vault.files[1] != second
        assert not second.exists()
        assert await vault.archiver.verify_all() == 2
        segment = Archived.of((await vault.store.segments())[1])
        assert (segment.payloads, segment.checkpoint) == (4091, 8192)
        after = (await vault.entries())[:8192]
        filled = await vault.recall.filled(after)
        assert sum(entry.erased for entry in filled) == 5
        assert await vault.flaws() == []

    on_vaults(scene)


async def fill_with_ada(vault: Vault) -> None:
    """Two segments in the archive; she is in the second one."""
    vault.clock.advance(-(DAYS + 1) * 86_400)
    await write_about_ada(vault)
    await vault.fill(2 * 4096 - 4106 - 6, "more")
    await vault.log_all()
    vault.clock.advance((DAYS + 1) * 86_400)
    await vault.archiver.archive_once(vault.clock.now())


def test_a_damaged_archive_is_not_rewritten(on_sqlite: Play) -> None:
    async def scene(vault: Vault) -> None:
        await fill_with_ada(vault)
        content = vault.files[1].read_bytes()
        vault.files[1].write_bytes(content[:-1])
        with pytest.raises(ChainBroken, match="of the archive was altered"):
            await vault.eraser.erase(ADA, "request 4711")
        vault.files[1].write_bytes(content)
        # She is still known by name, so that it can be done now.
        assert (await vault.eraser.erase(ADA, "request 4711")).archived == 5

    on_sqlite(scene)


def test_only_one_process_changes_the_archive(on_empty: Play) -> None:
    async def scene(vault: Vault) -> None:
        await write_about_ada(vault)
        with vault.archive.locked(), pytest.raises(Unavailable, match="another process"):
            await vault.eraser.erase(ADA, "request 4711")
        assert WORDS in await everything(vault)

    on_empty(scene)


# --- dying in between -------------------------------------------------------------------------------------


class Death(Exception):
    """Where the process would have died."""


class Mortal:
    """A port that dies at one call of a method, before it takes effect."""

    def __init__(self, inner: Any, method: str, call: int) -> None:
        self._inner, self._method, self._left = inner, method, call

    def __getattr__(self, name: str) -> Any:
        found: Callable[..., Any] = getattr(self._inner, name)
        if name == self._method:
            self._left -= 1
            if self._left == 0:
                raise Death
        return found


@pytest.mark.parametrize(
    ("port", "method", "call"),
    [
        ("persons", "remove", 1),
        ("writer", "save", 1),
        ("writer", "save", 2),
        ("archive", "remove", 1),
        ("persons", "forget", 1),
    ],
)
def test_it_can_be_repeated_until_it_is_done(on_sqlite: Play, port: str, method: str, call: int) -> None:
    async def scene(vault: Vault) -> None:
        await fill_with_ada(vault)
        await vault.ledger.save(replace(change("inc-9:hot", ADA), incident="inc-9"))
        persons: Any = SqlPersons(vault.writer, vault.reading, vault.clock)
        parts = vault.parts
        if port == "persons":
            persons = Mortal(persons, method, call)
        else:
            parts = replace(parts, **{port: Mortal(getattr(parts, port), method, call)})
        with pytest.raises(Death):
            await Eraser(parts, persons).erase(ADA, "request 4711")

        await vault.eraser.erase(ADA, "request 4711")

        text = await everything(vault) + await archived_text(vault)
        assert ADA not in text.replace("key:adam", "")
        assert WORDS not in text
        assert len(vault.files) == 2
        assert await vault.archiver.verify_all() == 2

    on_sqlite(scene)


# --- recognising a person ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("key:ada", True),
        ("asked key:ada.", True),
        ("asked key:ada, twice", True),
        ("done\nkey:ada", True),
        ("by:key:ada", True),
        ("key:adam", False),
        ("key:ada-2", False),
        ("key:ada.b", False),
        ("key:ada@example.com", False),
        ("xkey:ada", False),
        ("ada", False),
    ],
)
def test_a_name_is_not_a_part_of_another(text: str, *, named: bool) -> None:
    assert Traces(ADA, "act_1").name_in(text) is named


def test_comments_are_looked_for_in_their_incident_only() -> None:
    traces = Traces(ADA, "act_1", {"inc-0": {"ok"}})
    assert traces.in_payload("inc-0", "act_2", '{"reason":"the plan was approved: ok"}')
    assert not traces.in_payload("inc-0", "act_2", '{"reason":"all ok","status":"ok"}')
    assert not traces.in_payload("inc-1", "act_2", '{"reason":"the plan was approved: ok"}')
    assert traces.in_payload("inc-1", "act_1", "{}")
