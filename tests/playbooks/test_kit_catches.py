"""The test of the test kit: a good playbook passes all of it, and each thing that is wrong is caught, by its name."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import small_worlds
from typer.testing import CliRunner

from penelope.entry.cli.main import app
from penelope.errors import Unavailable
from penelope.testing import kit_story
from penelope.testing.kit import Finding, Kind, Place, Trial, trials, trials_of
from penelope.testing.kit_course import Course
from penelope.testing.kit_judge import Rehearsed, Seen, difference, judged, same
from penelope.testing.kit_session import check
from penelope.testing.kit_story import named
from penelope.testing.worlds import World

HERE = Path(__file__).parent
FILE = HERE / "fix-cards.yaml"
GOOD = trials_of("fix-cards", file=FILE, world=small_worlds.CardWorld, quick=True, seed=1)


def trial(world: type[World], name: str, seed: int = 0) -> Trial:
    """One of all trials of the cards in this world, by how it is shown."""
    found = {str(each): each for each in trials_of("fix-cards", file=FILE, world=world, seed=seed)}
    return found[name]


@pytest.mark.parametrize("each", GOOD, ids=str)
def test_a_good_playbook_holds_in_every_trial(each: Trial) -> None:
    assert check(each).finding is Finding.HELD


CAUGHT = [
    (small_worlds.LyingWorld, "each action repeated", "its probe says not_applied|the second execution had"),
    (small_worlds.LyingWorld, "dies after execute (step 1)", "not once each: one was 1, is 2"),
    (
        small_worlds.LyingWorld,
        "Unavailable after execute (step 1)",
        "its target is not as it was: text was bad, is good",
    ),
    (small_worlds.ForgetfulWorld, "rollback restores", 'did not restore: one was "bad", is "good"'),
    (small_worlds.ForgetfulWorld, "ActionFailed after execute (step 2)", "neither as before nor as promised"),
    (small_worlds.ForgetfulWorld, "dies before compensate (step 1)", "neither as before nor as promised"),
    (small_worlds.AddingWorld, "the same alert again", "the second time it changed more: one was"),
    (small_worlds.AddingWorld, "each action repeated", "the second execution had an effect: one was"),
    (
        small_worlds.AddingWorld,
        "dies seen execute (step 1)",
        'not as promised: one was "good", is "goodgood"',
    ),
    (small_worlds.AddingWorld, "dies after execute (step 2)", 'not as promised: two was "good"'),
    (small_worlds.CrashingWorld, "heals", "an error that nobody handles: .*unforeseen error: KeyError"),
    (small_worlds.IncurableWorld, "heals", "ended healed, but the world is not healthy"),
    (small_worlds.SuddenWorld, "heals", r"Penelope died by herself \(exit code 3\)"),
    (small_worlds.BlindWorld, "heals", "the world cannot be looked at: RuntimeError: the instruments"),
]


@pytest.mark.parametrize(
    ("world", "name", "words"), CAUGHT, ids=lambda value: getattr(value, "__name__", None)
)
def test_what_is_wrong_is_caught(world: type[World], name: str, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        check(trial(world, name))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("each action repeated", "2 actions, each one effect"),
        ("ActionFailed before execute (step 1)", "Write card one: ActionFailed"),
        ("ActionFailed before execute (step 2)", "Write card two: ActionFailed"),
        ("OutcomeUnknown before execute (step 1)", "as promised so far"),
        ("dies during execute (step 2)", "healed after 1 deaths, as promised, once"),
    ],
)
def test_what_goes_on_side_by_side_is_told_apart(name: str, words: str) -> None:
    file = HERE / "side-by-side-cards.yaml"
    found = trials_of("side-by-side-cards", file=file, world=small_worlds.UnevenWorld)
    result = check(next(each for each in found if str(each) == name))
    assert result.finding is Finding.HELD
    assert words in result.why


def test_a_value_that_leads_out_of_the_world_is_caught() -> None:
    cases = [
        each
        for each in trials_of("fix-cards", file=FILE, world=small_worlds.CarelessWorld, seed=1)
        if each.kind is Kind.FUZZED
    ]
    caught = []
    for each in cases:
        try:
            check(each)
        except AssertionError as error:
            caught.append(str(error))
    assert any("outside of the world" in text for text in caught), caught


def test_a_story_that_hangs_is_ended_and_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kit_story, "STORY_SECONDS", 4.0)
    with pytest.raises(AssertionError, match="has not ended within 4 s"):
        check(trial(small_worlds.HangingWorld, "heals"))


def test_the_rest_is_not_tried_where_it_does_not_heal() -> None:
    found = check(trial(small_worlds.SuddenWorld, "rollback restores"))
    assert (found.finding, found.why) == (Finding.NOTED, "not tried, for it does not heal")


def test_what_is_not_meant_to_be_taken_back_is_noted() -> None:
    """It stays in the world, and so nobody may call it restored."""
    found = trials_of("burn-cards", file=HERE / "burn-cards.yaml", world=small_worlds.ForgetfulWorld)
    result = check(next(each for each in found if each.kind is Kind.ROLLBACK))
    assert result.finding is Finding.NOTED
    assert "not meant to be taken back: Write card ${card}, Write card two" in result.why


def test_a_world_that_cannot_be_had_says_so() -> None:
    with pytest.raises(Unavailable, match="the wheel of cards is not installed"):
        check(trial(small_worlds.AbsentWorld, "heals"))


# --- what is tried ----------------------------------------------------------------------------------------


def test_trials_have_names_of_their_own_and_do_not_depend_on_chance() -> None:
    full = trials_of("fix-cards", file=FILE, world=small_worlds.CardWorld, seed=7)
    assert len({str(each) for each in full}) == len(full)
    assert full == trials_of("fix-cards", file=FILE, world=small_worlds.CardWorld, seed=7)
    draws = [each.chance.random() for each in full]
    assert draws == [each.chance.random() for each in full]
    assert len(set(draws)) == len(draws)


def test_every_place_is_tried_at_every_step_and_quickly_at_one() -> None:
    full = trials_of("fix-cards", file=FILE, world=small_worlds.CardWorld)
    deaths = {(each.place, each.step) for each in full if each.kind is Kind.DIES}
    assert deaths == {(place, step) for place in Place for step in (0, 1)} - {(Place.BEFORE_VERIFY, 1)}
    assert {each.place for each in GOOD if each.kind is Kind.DIES} == set(Place)
    assert {each.kind for each in GOOD} == set(Kind)


def test_what_takes_no_values_is_given_none() -> None:
    """A trial that replaced nothing would be held for nothing."""
    bare = replace(GOOD[0].subject, takes_values=False)
    assert GOOD[0].subject.takes_values
    assert [each for each in trials(bare) if each.kind is Kind.FUZZED] == []


def test_hostile_values_really_differ() -> None:
    """Draws that all came to the same would try one thing many times."""
    from penelope.testing.kit_bend import hostile  # noqa: PLC0415 - for this test alone

    full = trials_of("fix-cards", file=FILE, world=small_worlds.CardWorld)
    made = {json.dumps(hostile(each.chance, "text", "/canary")) for each in full if each.kind is Kind.FUZZED}
    assert len(made) >= 8


# --- how it is judged -------------------------------------------------------------------------------------


def ended(**changes: object) -> Seen:
    seen = Seen(
        state="escalated",
        history=[{"event": "IncidentEscalated", "unit": "inc", "reason": "so", "details": {}}],
        fired=True,
        deaths=1,
        before={"card": "bad"},
        after={"card": "bad"},
    )
    for name, value in changes.items():
        setattr(seen, name, value)
    return seen


RECORD = Rehearsed(before={"card": "bad"}, healed={"card": "good"}, path=({"card": "half"},))


def finding(seen: Seen, kind: Kind = Kind.DIES) -> tuple[Finding, str]:
    return judged(Trial(subject=GOOD[0].subject, kind=kind), seen, RECORD)


def test_a_flaw_of_the_ledger_spoils_all() -> None:
    assert finding(ended())[0] is Finding.HELD
    found, why = finding(ended(flaws=["inc_1: the chain is broken"]))
    assert found is Finding.BROKEN
    assert "the ledger does not verify: inc_1: the chain is broken" in why


def test_an_end_without_a_reason_is_broken() -> None:
    history = [{"event": "IncidentEscalated", "unit": "inc", "reason": "", "details": {}}]
    assert finding(ended(history=history)) == (
        Finding.BROKEN,
        "the incident ended (escalated) without a reason",
    )


def test_half_way_is_right_only_where_nobody_can_know() -> None:
    assert finding(ended(after={"card": "half"}))[0] is Finding.BROKEN
    reason = "x; nothing was taken back, for nobody knows what is there"
    history = [{"event": "IncidentEscalated", "unit": "inc", "reason": reason, "details": {}}]
    assert finding(ended(after={"card": "half"}, history=history))[0] is Finding.HELD
    assert finding(ended(after={"card": "third"}, history=history))[0] is Finding.BROKEN


def test_branches_side_by_side_may_be_done_one_without_the_other() -> None:
    record = Rehearsed(
        before={"cards": {"one": "bad", "two": "bad"}, "n": 1},
        healed={"cards": {"one": "good", "two": "good"}, "n": 1},
        path=({"cards": {"one": "good", "two": "good"}, "n": 1},),
        side_by_side=True,
    )
    reason = "x; nothing was taken back, for nobody knows what is there"
    history = [{"event": "IncidentEscalated", "unit": "inc", "reason": reason, "details": {}}]

    def found(one: str, two: str, *, apart: bool = True) -> Finding:
        seen = ended(before=record.before, after={"cards": {"one": one, "two": two}, "n": 1}, history=history)
        return judged(
            Trial(subject=GOOD[0].subject, kind=Kind.FAILS), seen, replace(record, side_by_side=apart)
        )[0]

    assert found("bad", "good") is Finding.HELD
    assert found("bad", "torn") is Finding.BROKEN
    assert found("bad", "good", apart=False) is Finding.BROKEN


@pytest.mark.parametrize("kind", [Kind.ROLLBACK, Kind.FAILS])
def test_a_step_that_stays_excuses_no_other_change(kind: Kind) -> None:
    record = Rehearsed(
        before={"one": "bad", "two": "bad"}, healed={"one": "good", "two": "good"}, stays=("Write card one",)
    )

    def found(one: str, two: str) -> Finding:
        seen = ended(before=record.before, after={"one": one, "two": two})
        return judged(Trial(subject=GOOD[0].subject, kind=kind), seen, record)[0]

    assert found("good", "bad") is Finding.NOTED
    assert found("good", "torn") is Finding.BROKEN
    assert found("bad", "bad") is Finding.HELD


def test_an_ordered_death_that_never_came_is_not_held() -> None:
    """The action was refused before the thing that it should have died at."""
    assert finding(ended(deaths=0)) == (Finding.NOTED, "it never comes there")
    assert finding(ended(deaths=0), Kind.FAILS)[0] is Finding.HELD


def test_actions_are_told_apart_by_their_names_and_else_by_when_they_begin() -> None:
    first = Course.first(["one", "two of ${it}", "never"])
    assert [first.place("k2", "two of it"), first.place("k1", "one"), first.place("k2", "two of it")] == [
        1,
        0,
        1,
    ]
    first.done(1, 7, 0.5)
    first.done(0, 3, 0.1)
    first.done(0, 99, 9.9)
    assert (first.names, first.events, first.seconds) == (("one", "two of it"), (3, 7), (0.1, 0.5))
    assert first.keys == {"k1": "one", "k2": "two of it"}
    sided = Course.first(["write ${it}", "write two"])
    # Whichever branch begins first.
    assert [sided.place("k1", "write two"), sided.place("k2", "write one")] == [1, 0]
    again = Course.first(["each ${it}", "last"])
    assert [again.place(name, name) for name in ("each 1", "each 2", "each 3", "last")] == [0, 1, 2, 3]
    later = Course(("one", "two at 7", "same", "same"))
    assert [later.place("a", "same"), later.place("b", "two at 9"), later.place("c", "same")] == [2, 0, 3]
    assert [later.place("d", "one"), later.place("e", "more")] == [1, 4]


def test_a_fault_that_never_came_is_not_held() -> None:
    assert finding(ended(fired=False)) == (Finding.NOTED, "it never comes there")


def test_states_are_compared_by_kind_and_told_by_path() -> None:
    assert not same({"a": 1}, {"a": True})
    assert same({"a": 1, "b": [None]}, {"b": [None], "a": 1})
    assert difference({"a": {"b": 1}, "c": 2}, {"a": {"b": 3}, "c": 2}) == "a.b was 1, is 3"


def test_keys_of_actions_are_no_difference() -> None:
    """Every story has keys of its own; a target that keeps one as a proof is not another for that."""
    state = {"mark": "by k1!", "k2": ["k1", 7, None, True]}
    assert named(state, {"k1": "first", "k2": "second"}) == {
        "mark": "by <key of first>!",
        "<key of second>": ["<key of first>", 7, None, True],
    }


# --- how it is used ---------------------------------------------------------------------------------------


def test_the_command_shows_what_is_broken_and_exits_with_1() -> None:
    arguments = ["playbooks", "test", "fix-cards", "--playbook-file", str(FILE), "--quick", "--json"]
    answer = CliRunner().invoke(app, [*arguments, "--world", "small_worlds:CrashingWorld"])
    assert answer.exit_code == 1, answer.output
    told = json.loads(answer.stdout)
    assert told["counts"]["broken"] == 1
    assert told["counts"]["held"] == 0
    assert told["trials"][0]["trial"] == "heals"
    assert "KeyError" in told["trials"][0]["why"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["no-such-book"], "no world"),
        (["a", "b", "--world", "small_worlds:CardWorld"], "for one playbook"),
        (["fix-cards", "--playbook-file", str(FILE), "--world", "small_worlds:CardAdapter"], "is no World"),
        (["fix-cards", "--playbook-file", str(FILE), "--world", "nowhere:W"], "cannot be loaded"),
        (["other", "--playbook-file", str(FILE), "--world", "small_worlds:CardWorld"], "not 'other'"),
    ],
)
def test_wishes_that_cannot_be_met_are_refused(arguments: list[str], words: str) -> None:
    answer = CliRunner().invoke(app, ["playbooks", "test", *arguments])
    assert answer.exit_code == 1
    assert words in " ".join(answer.output.split())


def test_the_plugin_skips_fails_and_tells_of_what_is_noted(tmp_path: Path) -> None:
    (tmp_path / "test_books.py").write_text(
        f"""
import pytest
from penelope.testing.kit import trials_of
from penelope.testing.kit_session import check
from penelope.testing.kit_story import named

FILE = {str(FILE)!r}
from pathlib import Path
def first(world):
    return trials_of("fix-cards", file=Path(FILE), world="small_worlds:" + world)[0]

@pytest.mark.parametrize("trial", [first("AbsentWorld"), first("CrashingWorld")], ids=["absent", "crashing"])
def test_it(trial):
    check(trial)

@pytest.mark.parametrize("trial", trials_of("fix-cards", file=Path(FILE), world="small_worlds:CrashingWorld")[3:4])
def test_noted(trial):
    check(trial)
"""
    )
    environment = {**os.environ, "PYTHONPATH": str(HERE), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-rs",
        "-W",
        "error",
        "-p",
        "no:cacheprovider",
        str(tmp_path),
    ]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=240
    )
    assert "1 failed, 1 passed, 1 skipped" in done.stdout, done.stdout + done.stderr
    assert "the wheel of cards is not installed" in done.stdout
    assert "fix-cards: rollback restores: not tried, for it does not heal" in done.stdout
    assert done.returncode == 1


def test_the_plugin_loads_nothing_where_nobody_uses_the_kit(tmp_path: Path) -> None:
    (tmp_path / "test_other.py").write_text(
        "import sys\n\n\ndef test_it():\n"
        "    loaded = [name for name in sys.modules if name.startswith('penelope.')]\n"
        "    assert sorted(loaded) == ['penelope.testing', 'penelope.testing.pytest_plugin']\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
