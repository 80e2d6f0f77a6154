"""Who people are, whose word is needed, and what an approval outlives."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penelope.domain.approval import MOST_COMMENTS, Approval, ApprovalStatus, OnTimeout, Refusal, comment
from penelope.domain.asking import AskingPolicy, Escalation
from penelope.domain.circumstances import Circumstances, Present
from penelope.domain.notice import NoticeKind
from penelope.domain.people import People, identity_of, person_from
from penelope.domain.quorum import ANY_APPROVER, Bench, Standing, quorum_for, quorum_rule_from, standing

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)


@pytest.mark.parametrize(
    "spelling",
    [
        "ada@example.com",
        " Ada@Example.COM ",
        "ada+pager@example.com",
        "\uff41da@example.com",
        "ad\u200ba@example.com.",
        "ada\ufe0f@example.com",
        "\u3164ada@example.com",
        "a\u034fda@example\u3002com",
    ],
)
def test_spellings_of_one_person_are_one(spelling: str) -> None:
    assert identity_of(spelling) == "ada@example.com"


def test_a_domain_is_one_in_its_two_writings() -> None:
    assert identity_of("ada@b\u00fccher.example") == identity_of("Ada@xn--bcher-kva.example")


@given(st.text() | st.emails())
def test_the_one_spelling_of_a_name_is_its_own(name: str) -> None:
    assert identity_of(identity_of(name)) == identity_of(name)


def test_a_plus_means_something_in_addresses_only() -> None:
    assert identity_of("ada+1") == "ada+1"
    assert identity_of("ada") != identity_of("ada+1")


def test_a_line_names_a_person_with_all_names_and_roles() -> None:
    people = People(
        (person_from("Ada@Example.com aka=ada,A.Lovelace roles=dba,sre slack=U0ADA mail=a@x.org"),)
    )
    (ada,) = people.persons
    assert (ada.id, ada.roles, ada.mail) == ("ada@example.com", {"dba", "sre"}, "a@x.org")
    for name in ("ADA", "a.lovelace", "slack:U0ADA", "a+1@x.org", "ada@example.com"):
        assert people.identity(name) == "ada@example.com"
    assert people.voter("ada", "key:ada").roles == {"approver", "dba", "sre"}
    assert people.identity("bob") == "bob"


@pytest.mark.parametrize("line", ["ada roles", "ada colour=red", "ada slack="])
def test_a_line_that_says_something_else_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="should be aka="):
        person_from(line)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("", "names nobody"),
        ("\u200b", "names nobody"),
        ("ada aka=\u200b", "an empty name"),
        ("ada aka=ally,", "an empty name"),
        ("ada slack=U0,,U1", "an empty name"),
        ("ada roles=dba,", "a role is written"),
        ("ada roles=DBA", "a role is written"),
        ("ada roles=agent:x", "a role is written"),
        ("ada roles=dba roles=sre", "roles= stands twice"),
        ("ada aka=a aka=b", "aka= stands twice"),
        ("ada mail=a@example.com,b@example.com", "one address"),
    ],
)
def test_a_line_that_would_lose_something_in_silence_is_refused(line: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        person_from(line)


@pytest.mark.parametrize("line", ["agent:helper", "ada aka=ada,Agent:helper"])
def test_an_agent_is_no_persons_other_name(line: str) -> None:
    with pytest.raises(ValueError, match="makes a person of an agent"):
        person_from(line)


def test_one_name_cannot_be_two_people() -> None:
    with pytest.raises(ValueError, match="named for two people"):
        People((person_from("ada aka=boss"), person_from("bob aka=BOSS")))


def test_an_agent_has_a_seat_of_its_own_and_no_persons() -> None:
    agent = People().voter("agent:second-opinion", "agent:so")
    assert (agent.machine, agent.roles) == (True, {"agent:second-opinion"})


def test_lines_of_the_quorum_are_read() -> None:
    made = quorum_rule_from("risk 0.8: 2 of 3 approver + 1 dba + 1 rule:scanner + 1 agent:second")
    assert made.quorum == (
        Bench(needed=2, seats=3),
        Bench(role="dba"),
        Bench(role="rule:scanner"),
        Bench(role="agent:second"),
    )
    rules = (made, quorum_rule_from("tier 4: 2 approver"))
    assert quorum_for(rules, 4, 0.1) == (Bench(needed=2, seats=2),)
    assert quorum_for(rules, 4, 0.8) == made.quorum
    assert quorum_for(rules, 3, 0.7) == ANY_APPROVER


@pytest.mark.parametrize(
    "line",
    [
        "",
        "tier 5: 1 approver",
        "risk 2: 1 approver",
        "tier 4: 3 of 2 approver",
        "tier 4: 0 approver",
        "tier 4: 1 approver + 1 approver",
        "tier 4: 1 rule:scanner",
        "tier 4: 1 agent:x + 1 rule:y",
        "tier 4 approver",
    ],
)
def test_a_quorum_that_makes_no_sense_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"should look|more votes|twice|no person"):
        quorum_rule_from(line)


def test_remarks_on_a_request_come_to_an_end() -> None:
    asked: Approval | Refusal = Approval(
        id="a",
        incident="inc_1",
        plan_digest="p",
        reasons=(),
        status=ApprovalStatus.PENDING,
        requested_at=NOW,
        expires_at=NOW + timedelta(hours=1),
    )
    for _ in range(MOST_COMMENTS):
        assert isinstance(asked, Approval)
        asked = comment(asked, People().voter("ada", "key:ada"), "hm", NOW)
    assert isinstance(asked, Approval)
    assert isinstance(comment(asked, People().voter("ada", "key:ada"), "hm", NOW), Refusal)


def test_no_quorum_carries_nothing() -> None:
    assert standing((), []) is Standing.LOST


def test_two_of_three_bear_one_no_and_lose_with_two() -> None:
    bench = (Bench(needed=2, seats=3),)
    assert standing(bench, [("approver", False)]) is Standing.OPEN
    assert standing(bench, [("approver", False), ("approver", False)]) is Standing.LOST
    assert standing(bench, [("approver", False), ("approver", True), ("approver", True)]) is Standing.CARRIED


class TestCircumstances:
    given = Circumstances(missed=("availability",), changes={"change.a.release": "1.1"}, risk=0.5)

    def now(self, *met: str, **changes: object) -> Present:
        values = {"missed": self.given.missed, "changes": self.given.changes, "risk": 0.5, **changes}
        return Present(circumstances=Circumstances(**values), met=frozenset(met))  # type: ignore[arg-type]  # a test's

    def test_the_same_world_is_the_same(self) -> None:
        assert self.given.outlived(self.now()) == ""
        assert (
            self.given.digest
            == Circumstances(**{k: getattr(self.given, k) for k in ("missed", "changes", "risk")}).digest
        )

    def test_more_that_is_missed_voids_nothing(self) -> None:
        assert self.given.outlived(self.now(missed=("availability", "latency"))) == ""

    def test_what_is_unknown_now_is_not_met(self) -> None:
        assert self.given.outlived(self.now(missed=())) == ""

    def test_a_world_that_is_well_again_voids_it(self) -> None:
        assert "met again: availability" in self.given.outlived(self.now("availability", missed=()))

    @pytest.mark.parametrize(
        "changes", [{}, {"change.a.release": "1.2"}, {"change.a.release": "1.1", "change.b": 1}]
    )
    def test_a_change_voids_it(self, changes: dict[str, object]) -> None:
        assert "something was changed" in self.given.outlived(self.now(changes=changes))

    def test_a_risk_that_grew_voids_it(self) -> None:
        assert "grown from 0.50 to 0.61" in self.given.outlived(self.now(risk=0.61))
        assert self.given.outlived(self.now(risk=0.59)) == ""


def test_all_moments_follow_from_the_request() -> None:
    policy = AskingPolicy(
        on_timeout_of={"shop": OnTimeout.ESCALATE},
        reminders=(0.5,),
        escalations=(Escalation(share=0.75, channel="managers"),),
        channels=("ops", "managers"),
    )
    made = policy.notices("a", "inc_1", "shop", NOW, 100)
    assert [(item.kind, (item.due_at - NOW).total_seconds(), item.channels) for item in made] == [
        (NoticeKind.REQUESTED, 0, ("ops", "managers")),
        (NoticeKind.REMINDER, 50, ("ops", "managers")),
        (NoticeKind.ESCALATION, 75, ("managers", "ops")),
        (NoticeKind.ESCALATION, 100, ("managers", "ops")),
    ]
    assert made == policy.notices("a", "inc_1", "shop", NOW, 100)
    assert len({item.id for item in made}) == 4
    assert policy.expiry("shop", NOW, 100) == NOW + timedelta(seconds=200)
    assert policy.expiry("other", NOW, 100) == NOW + timedelta(seconds=100)
    assert AskingPolicy().notices("a", "inc_1", "shop", NOW, 100) == []
