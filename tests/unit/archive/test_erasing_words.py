"""What a person said about requests and reviews is erased with the person."""

from datetime import datetime, timedelta

from vault import Play, Vault

from penelope.domain.approval import Approval, ApprovalStatus, Ballot, comment, vote
from penelope.domain.break_glass import BreakGlass, Review
from penelope.domain.people import Voter
from penelope.domain.quorum import Bench
from penelope.domain.work import Change
from penelope.flow import records
from penelope.flow.breaking_glass import of_glass

ADA = Voter(identity="ada@example.com", actor="key:ada")
EVE = Voter(identity="eve@example.com", actor="key:eve")


def request(now: datetime) -> Approval:
    made: object = Approval(
        id="request",
        incident="inc-0",
        plan_digest="0" * 64,
        reasons=("it is risky",),
        status=ApprovalStatus.PENDING,
        requested_at=now,
        expires_at=now + timedelta(days=1),
        quorum=(Bench(needed=3, seats=3),),
    )
    assert isinstance(made, Approval)
    for voter, reason in ((ADA, "my sister says so"), (EVE, "the graphs look right")):
        made = vote(made, voter, Ballot(approve=True, reason=reason), now)
        assert isinstance(made, Approval)
    made = comment(made, ADA, "call me on 555", now)
    assert isinstance(made, Approval)
    return made


def glass(now: datetime) -> BreakGlass:
    return BreakGlass(
        id="glass",
        incident="inc-0",
        service="shop",
        playbook="fix",
        content="0" * 64,
        by=EVE.identity,
        actor=EVE.actor,
        reason="all is down",
        lifted=(),
        at=now,
        good_until=now,
        review_due_at=now,
        reviews=(Review(reviewer=ADA.identity, actor=ADA.actor, note="as I told my sister", at=now),),
    )


def test_votes_remarks_and_reviews_go_with_the_person(on_empty: Play) -> None:
    async def scene(vault: Vault) -> None:
        now = vault.clock.now()
        await vault.ledger.save(
            records.of_approval(request(now), "ApprovalVoted", "my sister says so", actor=ADA.actor),
            of_glass(glass(now), "GlassReviewed", "as I told my sister", ADA.actor),
        )
        await vault.log_all()
        await vault.eraser.erase(ADA.actor, "request 4712")
        async with vault.reading.connect() as connection:
            rows = await connection.exec_driver_sql("SELECT attributes FROM units_of_work")
            text = " ".join(row[0] for row in rows)
            rows = await connection.exec_driver_sql("SELECT body FROM history_payloads")
            text += " ".join(row[0] for row in rows)
        for word in ("ada@example.com", "key:ada", "sister", "555"):
            assert word not in text
        assert "the graphs look right" in text

    on_empty(scene)


def test_a_refusal_that_other_incidents_repeat_goes_with_the_person(on_empty: Play) -> None:
    """The words are found as long as the request holds them: whatever repeats them is scrubbed first."""

    async def scene(vault: Vault) -> None:
        now = vault.clock.now()
        told = "key:ada refused fix for this problem, which stands for 86400 s: my sister says so"
        gate = Change(
            unit="inc-1:gate",
            kind="gate",
            incident="inc-1",
            status="refuse",
            attributes={"verdicts": [{"reason": told}], "note": "others say: my sister says so"},
            event="GateRefused",
            actor="penelope",
            reason=f"refusal: {told}",
            details={"verdicts": [{"reason": f"{told}; overridden: key:eve broke the glass"}]},
        )
        await vault.ledger.save(
            records.of_approval(request(now), "ApprovalVoted", "my sister says so", actor=ADA.actor), gate
        )
        await vault.log_all()
        await vault.eraser.erase(ADA.actor, "request 4712")
        async with vault.reading.connect() as connection:
            rows = await connection.exec_driver_sql(
                "SELECT attributes FROM units_of_work WHERE kind = 'gate'"
            )
            text = " ".join(row[0] for row in rows)
            rows = await connection.exec_driver_sql("SELECT body FROM history_payloads")
            history = " ".join(row[0] for row in rows)
        assert "(erased) refused fix for this problem, which stands for 86400 s: (erased)" in text
        assert "key:ada" not in text + history
        assert "others say: my sister says so" in text
        assert "sister" not in history

    on_empty(scene)
