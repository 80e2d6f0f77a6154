"""Votes of people and machines in any order: nobody counts twice, and what was decided stays decided."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from penelope.domain.approval import (
    Approval,
    ApprovalStatus,
    Ballot,
    Refusal,
    close,
    comment,
    delegate,
    vote,
)
from penelope.domain.people import People, Voter, person_from
from penelope.domain.quorum import Bench

START = datetime(2026, 11, 21, 7, tzinfo=UTC)
PEOPLE = People(
    (
        person_from("ada@example.com aka=ada,a.lovelace roles=dba slack=U0ADA"),
        person_from("bob@example.com aka=bob"),
        person_from("eve@example.com aka=eve roles=dba"),
    )
)
SPELLINGS = [
    "ada",
    "ADA",
    "ada@example.com",
    "Ada+night@Example.com",
    "a.lovelace",
    "\uff21da",
    "ad\u200ba",
    "slack:U0ADA",
    "bob",
    "bob+1@example.com",
    "BOB@EXAMPLE.COM.",
    "eve",
    "carl",
    "requester",
]
QUORUMS = [
    (Bench(),),
    (Bench(needed=2, seats=2),),
    (Bench(needed=2, seats=3),),
    (Bench(needed=2, seats=2), Bench(role="dba")),
    (Bench(), Bench(role="rule:scanner")),
    (Bench(needed=1, seats=2), Bench(role="agent:second", needed=1, seats=1)),
]


def machine(role: str) -> Voter:
    return Voter(identity=role, actor="penelope", roles=frozenset({role}), machine=True)


class Votes(RuleBasedStateMachine):
    @initialize(quorum=st.sampled_from(QUORUMS))
    def ask(self, quorum: tuple[Bench, ...]) -> None:
        self.now = START
        self.decided: Approval | None = None
        self.request = Approval(
            id="a",
            incident="inc_1",
            plan_digest="p",
            reasons=(),
            status=ApprovalStatus.PENDING,
            requested_at=START,
            expires_at=START + timedelta(seconds=100),
            requested_by="requester",
            quorum=quorum,
        )

    def _becomes(self, result: Approval | Refusal) -> None:
        if isinstance(result, Refusal):
            assert result.reason
            return
        if self.request.status is not ApprovalStatus.PENDING:
            assert result == self.request
        self.request = result

    @rule(name=st.sampled_from(SPELLINGS), approve=st.booleans())
    def a_person_votes(self, name: str, *, approve: bool) -> None:
        voter = PEOPLE.voter(name, f"key:{name}")
        ballot = Ballot(approve=approve)
        result = vote(self.request, voter, ballot, self.now)
        before = self.request
        self._becomes(result)
        # The same word again changes nothing.
        if not isinstance(result, Refusal):
            assert vote(result, voter, replace(ballot, channel="slack"), self.now) == result
        if name == "requester":
            assert self.request == before

    @rule(role=st.sampled_from(["rule:scanner", "agent:second", "approver"]), approve=st.booleans())
    def a_machine_votes(self, role: str, *, approve: bool) -> None:
        people = [item for item in self.request.votes if item.seat in {"approver", "dba"}]
        self._becomes(vote(self.request, machine(role), Ballot(approve=approve), self.now))
        # A machine never takes a person's seat.
        assert [item for item in self.request.votes if item.seat in {"approver", "dba"}] == people

    @rule(name=st.sampled_from(SPELLINGS), to=st.sampled_from(SPELLINGS))
    def a_seat_is_handed_on(self, name: str, to: str) -> None:
        voter = PEOPLE.voter(name, name)
        self._becomes(delegate(self.request, voter, PEOPLE.identity(to), self.now))

    @rule(name=st.sampled_from(SPELLINGS))
    def a_seat_is_handed_to_a_role(self, name: str) -> None:
        self._becomes(delegate(self.request, PEOPLE.voter(name, name), "dba", self.now, to_role=True))

    @rule()
    def somebody_remarks(self) -> None:
        self._becomes(comment(self.request, PEOPLE.voter("bob", "bob"), "hm", self.now))

    @rule(status=st.sampled_from([ApprovalStatus.CANCELLED, ApprovalStatus.OVERRIDDEN]))
    def it_is_withdrawn(self, status: ApprovalStatus) -> None:
        if self.now > START + timedelta(seconds=50):
            self._becomes(close(self.request, status, self.now, actor="key:bob"))

    @rule(seconds=st.integers(1, 30))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)
        if self.now >= self.request.expires_at and self.request.status is ApprovalStatus.PENDING:
            voted = vote(self.request, PEOPLE.voter("carl", "carl"), Ballot(approve=True), self.now)
            assert isinstance(voted, Refusal) or voted == self.request
            self._becomes(close(self.request, ApprovalStatus.EXPIRED, self.now))

    @invariant()
    def nobody_counts_twice(self) -> None:
        if not hasattr(self, "request"):
            return
        voters = [item.voter for item in self.request.votes]
        assert len(set(voters)) == len(voters)
        spent = {item.by for item in self.request.delegations}
        assert not spent & set(voters)
        owners = [item.instead_of or item.voter for item in self.request.votes]
        assert len(set(owners)) == len(owners)
        for bench in self.request.quorum:
            assert sum(item.seat == bench.role for item in self.request.votes) <= bench.seats

    @invariant()
    def approved_means_that_every_bench_was_convinced(self) -> None:
        if not hasattr(self, "request"):
            return
        convinced = all(
            len({item.voter for item in self.request.votes if item.approve and item.seat == bench.role})
            >= bench.needed
            for bench in self.request.quorum
        )
        if self.request.status is ApprovalStatus.APPROVED:
            assert convinced
        if self.request.status is ApprovalStatus.PENDING:
            assert not convinced

    @invariant()
    def what_was_decided_stays(self) -> None:
        if not hasattr(self, "request"):
            return
        if self.decided is not None:
            assert self.request == self.decided
        elif self.request.status is not ApprovalStatus.PENDING:
            self.decided = self.request


TestVotes = Votes.TestCase
TestVotes.settings = settings(max_examples=150, stateful_step_count=25)
