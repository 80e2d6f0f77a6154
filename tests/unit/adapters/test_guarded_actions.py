"""Credentials go into an adapter's options for a call, and come out of it nowhere."""

import asyncio
import json
import logging
import sqlite3
import traceback
from base64 import b64decode, b64encode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penelope.adapters.actions.guarded import Guarded
from penelope.adapters.secrets.redaction import Redaction
from penelope.adapters.secrets.resolve import Resolved
from penelope.bootstrap.secrets import secrets_of
from penelope.domain.action import Action, Difference, Effect, Preview, Snapshot, Tier
from penelope.domain.service import Target
from penelope.errors import ActionFailed, BadSettings, CompensationFailed, OutcomeUnknown, Unavailable
from penelope.kit.canonical import canonical
from penelope.kit.codec import to_data
from penelope.rooms.act.run import perform, undo
from penelope.settings.secrets import Secrets as SecretsSettings
from penelope.testing.actions import FakeAction

SECRET = 'hünter/2+"2&<two>\n@evil.example'
REFERENCE = "secret://env/SECRET_DB"
ENVIRONMENT = {"SECRET_DB": SECRET, "SECRET_OTHER": "another-one"}
SECRETS = secrets_of(SecretsSettings(), ENVIRONMENT)


def forms(secret: str) -> list[str]:
    data = secret.encode()
    basic = b64encode(b"penny:" + data + b"!").decode()
    return [
        secret,
        json.dumps(secret),
        json.dumps(secret, ensure_ascii=False),
        quote(secret),
        quote(secret, safe="").lower(),
        quote_plus(secret),
        repr(secret),
        b64encode(data).decode(),
        urlsafe_b64encode(b"x" + data).decode(),
        basic,
        data.hex(),
        data.hex().upper(),
    ]


def leaks(shown: str) -> list[str]:
    """The forms of the secret that can be found: of base64 the part that does not depend on what stands around it."""
    inner = b64encode(b"pennyx" + SECRET.encode()).decode()[8:-4]
    return [
        form for form in (SECRET, "ünter/2", "evil.example", json.dumps(SECRET)[1:-1], inner) if form in shown
    ]


def an_action(options: dict[str, Any]) -> Action:
    return Action(
        key="inc/plan/0",
        name="set it",
        adapter="fake",
        operation="set",
        target=Target(name="app", service="shop", adapter="fake", options=options),
        params={"value": 1},
        tier=Tier.SNAPSHOT,
        timeout_seconds=5.0,
    )


class Gossip(FakeAction):
    """Tells its target's password wherever it can. `saw` are the options that it was handed."""

    def __init__(self) -> None:
        super().__init__()
        self.saw: list[Any] = []
        self.error: Callable[[str], BaseException] | None = None
        self.in_snapshot = False

    def _talk(self, action: Action) -> str:
        self.saw.append(action.target.options)
        password = str(action.target.options["password"])
        said = " ".join(forms(password))
        if self.error is not None:
            raise self.error(said) from ValueError(f"the driver said {said}")
        return said

    async def snapshot(self, action: Action) -> Snapshot:
        self._talk(action)
        kept = await super().snapshot(action)
        return Snapshot(state={**kept.state, "dsn": self.saw[-1]["password"]}) if self.in_snapshot else kept

    async def dry_run(self, action: Action, snapshot: Snapshot) -> Preview:  # noqa: ARG002 - it only talks
        said = self._talk(action)
        return Preview(summary=said, diff=f"-{said}\n+{said}")

    async def execute(self, action: Action, snapshot: Snapshot) -> Effect:
        said = self._talk(action)
        await super().execute(action, snapshot)
        return Effect(summary=said, details={said: [said, {"deep": said}]})

    async def compensate(self, action: Action, snapshot: Snapshot) -> Effect:
        said = self._talk(action)
        await super().compensate(action, snapshot)
        return Effect(summary=said)

    async def differences(self, action: Action, snapshot: Snapshot) -> list[Difference]:  # noqa: ARG002 - it only talks
        said = self._talk(action)
        return [Difference(subject=said, before=[said], now={said: said})]

    async def observe(self, action: Action) -> dict[str, Any]:
        said = self._talk(action)
        return {"said": said, said: said}


def run(steps: Any) -> Any:
    return asyncio.run(steps)


def test_options_are_filled_in_for_the_call_only() -> None:
    adapter = Gossip()
    options = {
        "password": REFERENCE,
        "url": f"http://penny:${{{REFERENCE}}}@db.example/x",
        "header": f"Bearer ${{{REFERENCE}}}, ${{secret://env/SECRET_OTHER}}",
        "nested": {"list": ["plain", REFERENCE, 1, None, True]},
    }
    action = an_action(options)
    run(Guarded(adapter, SECRETS).observe(action))
    assert action.target.options == options
    assert adapter.saw == [
        {
            "password": SECRET,
            "url": f"http://penny:{quote(SECRET, safe='')}@db.example/x",
            "header": f"Bearer {SECRET}, another-one",
            "nested": {"list": ["plain", SECRET, 1, None, True]},
        }
    ]


def test_a_rollback_gets_its_options_too() -> None:
    seen = []

    class Watching(FakeAction):
        async def compensate(self, action: Action, snapshot: Snapshot) -> Effect:
            seen.append(action.rollback)
            return await super().compensate(action, snapshot)

    action = replace(an_action({}), rollback=an_action({"password": REFERENCE}))
    run(Guarded(Watching(), SECRETS).compensate(action, Snapshot(state={"before": None})))
    assert seen[0].target.options == {"password": SECRET}


@pytest.mark.parametrize(
    "option",
    [
        "secret://env/PATH",
        "secret://nowhere/X",
        "a ${secret://env/SECRET_DB",
        "a secret://env/SECRET_DB",
        "${secret://env/../X}",
        ["${secret://env/SECRET_NONE}"],
    ],
)
def test_a_reference_that_cannot_be_filled_in_is_refused_before_the_call(option: Any) -> None:
    adapter = Gossip()
    action = an_action({"password": "plain", "other": option})
    with pytest.raises(ActionFailed):
        run(perform(Guarded(adapter, SECRETS), action, Snapshot(), first_attempt=True))
    assert adapter.saw == []


def test_a_planted_secret_is_found_nowhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What would go into history, the database and the log is written there, and searched byte by byte."""
    adapter = Gossip()
    guarded, action = Guarded(adapter, SECRETS), an_action({"password": REFERENCE, "user": "penny"})
    with sqlite3.connect(tmp_path / "history.db") as database:
        database.execute("CREATE TABLE entries (body BLOB, text TEXT)")

        def keep(value: Any) -> None:
            data = to_data(value)
            database.execute("INSERT INTO entries VALUES (?, ?)", (canonical(data), str(data)))
            logging.getLogger("shown").warning("%s %r", data, value)

        snapshot = run(guarded.snapshot(action))
        keep(snapshot)
        keep(run(guarded.dry_run(action, snapshot)))
        keep(run(perform(guarded, action, snapshot, first_attempt=True)))
        keep(run(guarded.differences(action, snapshot)))
        keep(run(guarded.observe(action)))
        keep(run(guarded.compensate(action, snapshot)))
        with pytest.raises(CompensationFailed) as unlike:
            run(undo(guarded, action, snapshot))  # it says that all differs, with the secret in it
        keep([str(unlike.value), unlike.value.advice])
    database.close()
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir()).decode("utf-8", "replace")
    assert REFERENCE in written
    assert leaks(written + caplog.text) == []
    assert "two" not in written


@pytest.mark.parametrize(
    "error",
    [
        lambda said: Unavailable(said, hint=said),
        OutcomeUnknown,
        KeyError,
        lambda said: UnicodeDecodeError("utf-8", said.encode(), 0, 1, said),
        TimeoutError,
    ],
)
def test_errors_and_their_causes_tell_no_secret(
    error: Callable[[str], BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    adapter = Gossip()
    adapter.error = error
    with pytest.raises(Exception) as caught:  # noqa: PT011 - its kind is looked at below
        run(Guarded(adapter, SECRETS).observe(an_action({"password": REFERENCE})))
    kind = type(error(""))
    assert caught.type in {kind, RuntimeError}
    if kind.__module__.startswith("penelope"):
        assert caught.type is kind
    logging.getLogger("shown").error("it failed", exc_info=caught.value)
    shown = "".join(traceback.format_exception(caught.value)) + caplog.text + repr(vars(caught.value))
    assert "the driver said" in shown
    assert leaks(shown) == []
    seen: BaseException | None = caught.value
    while seen is not None:
        assert leaks(repr(seen.args)) == []
        assert seen.__context__ is None or seen.__context__ is seen.__cause__
        frames = [frame.f_locals for frame, _ in traceback.walk_tb(seen.__traceback__)]
        assert not any("said" in frame for frame in frames)
        seen = seen.__cause__


def test_a_snapshot_that_holds_a_secret_stops_the_action() -> None:
    adapter = Gossip()
    adapter.in_snapshot = True
    with pytest.raises(ActionFailed, match="credential") as caught:
        run(Guarded(adapter, SECRETS).snapshot(an_action({"password": REFERENCE})))
    assert leaks(str(caught.value)) == []


def test_a_target_without_references_costs_nothing_and_loses_nothing() -> None:
    adapter = Gossip()
    said = run(Guarded(adapter, SECRETS).observe(an_action({"password": "in the catalogue"})))
    assert "in the catalogue" in said["said"]


def test_cancellation_goes_through() -> None:
    class Hanging(FakeAction):
        async def observe(self, action: Action) -> dict[str, Any]:  # noqa: ARG002 - it hangs on any
            await asyncio.Event().wait()
            return {}

    async def story() -> None:
        async with asyncio.timeout(0.05):
            await Guarded(Hanging(), SECRETS).observe(an_action({"password": REFERENCE}))

    with pytest.raises(TimeoutError):
        run(story())


def test_numbers_keys_and_private_keys_are_looked_through() -> None:
    key = "-----BEGIN KEY-----\n" + "MIIEvQIBADANBgkqhkiG9w0\n" * 2 + "-----END KEY-----"
    redaction = Redaction({"secret://env/PIN": "123456", "secret://file/key": key})
    assert redaction.value({"123456": [123456, 9123456.5, True, None]}) == {
        "[secret://env/PIN]": ["[secret://env/PIN]", "9[secret://env/PIN].5", True, None]
    }
    assert "MIIEvQ" not in redaction.text("only one line: MIIEvQIBADANBgkqhkiG9w0 of it")
    deep: Any = "123456"
    for _ in range(100):
        deep = [deep]
    assert "123456" not in json.dumps(redaction.value(deep))


@given(
    secret=st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=4, max_size=40),
    before=st.binary(max_size=5),
    after=st.binary(max_size=5),
)
def test_no_encoding_survives(secret: str, before: bytes, after: bytes) -> None:
    redaction = Redaction({REFERENCE: secret})
    data = secret.encode()
    for encode in (b64encode, urlsafe_b64encode):
        text = encode(before + data + after).decode()
        shown = redaction.text(text)
        if len(data) >= 8:
            assert shown != text
    for form in (secret, quote(secret, safe=""), json.dumps(secret)[1:-1], data.hex()):
        assert redaction.text(f"a {form} z") != f"a {form} z"


@pytest.mark.parametrize(
    "shown",
    [
        r"a\u0026b\u003cc/d'e\"fü",  # Go's JSON: Vault, Kubernetes, Prometheus, Traefik
        r"a\u0026b\u003cc/d'e\"f\u00fc",
        r"a&b<c\/d'e\"f\u00fc",  # PHP's JSON
        "a&amp;b&lt;c/d'e\"fü",  # in the text of a page
        "a&amp;b&lt;c/d&#39;e&#34;fü",  # Go's templates, Jinja
        "a&amp;b&lt;c/d&#039;e&quot;fü",  # PHP
        "a%26b%3Cc%2Fd'e%22f%C3%BC",  # encodeURIComponent
    ],
)
def test_what_other_languages_write_is_hidden(shown: str) -> None:
    redaction = Redaction({REFERENCE: "a&b<c/d'e\"fü"})
    assert redaction.text(f"before {shown} after") == f"before [{REFERENCE}] after"


def test_bytes_are_looked_through() -> None:
    redaction = Redaction({REFERENCE: "geheimnüs"})
    assert redaction.value(b"\xff geheimn\xc3\xbcs \xfe") == f"\udcff [{REFERENCE}] \udcfe".encode(
        errors="surrogateescape"
    )


@given(text=st.text(max_size=60))
def test_text_without_secrets_stays(text: str) -> None:
    if "hunter" not in text.casefold():
        assert Redaction({REFERENCE: "hunter-hunter-hunter"}).text(text) == text


def test_references_are_read_once_for_a_call() -> None:
    asked = []

    class Counting:
        async def read(self, reference: str) -> str:
            asked.append(reference)
            return "a value of it"

    run(Resolved(Counting()).options({"a": REFERENCE, "b": [REFERENCE]}))
    assert asked == [REFERENCE]
    nested: Any = REFERENCE
    for _ in range(50):
        nested = [nested]
    with pytest.raises(BadSettings, match="deeply"):
        run(Resolved(Counting()).options({"a": nested}))


def test_base64_of_a_basic_header_is_hidden() -> None:
    header = b64encode(b"penny:correct horse").decode()
    shown = Redaction({REFERENCE: "correct horse"}).text(f"Authorization: Basic {header}")
    assert b"horse" not in b64decode(header[:4] + "A" * 8)
    assert header[12:-4] not in shown
