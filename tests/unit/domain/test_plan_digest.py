from dataclasses import replace

from penelope.domain.action import Action, Tier
from penelope.domain.contract import Clause, Comparator, Contract
from penelope.domain.plan import Match, Plan, Playbook, StepTemplate
from penelope.domain.service import Target
from penelope.kit.codec import from_data, to_data


def action(key="k", tier=Tier.LOCAL, **params):
    target = Target(name="instance-a", service="shop", adapter="process")
    return Action(
        key=key, name="Restart", adapter="process", operation="restart", target=target, params=params,
        tier=tier, timeout_seconds=10,
    )  # fmt: skip


CLAUSE = Clause(subject="metric.error_ratio", comparator=Comparator.AT_MOST, expected=0.02)
CONTRACT = Contract(clauses=(CLAUSE,), deadline_seconds=60)
PLAN = Plan(
    id="p", incident="i", service="shop", playbook="restart", playbook_version="1", steps=(action(),),
    after=(action("k2"),), verify=CONTRACT,
)  # fmt: skip


def test_the_digest_changes_with_every_part_of_the_plan():
    changed = [
        replace(PLAN, incident="j"),
        replace(PLAN, steps=(action(force=True),)),
        replace(PLAN, steps=(action(), action("k3"))),
        replace(PLAN, after=()),
        replace(PLAN, verify=replace(CONTRACT, clauses=(replace(CLAUSE, expected=0.03),))),
    ]
    assert len({PLAN.digest, *(plan.digest for plan in changed)}) == 1 + len(changed)


def test_the_digest_survives_being_stored():
    assert from_data(Plan, to_data(PLAN)).digest == PLAN.digest
    assert len(PLAN.digest) == 64


def test_a_plan_is_as_hard_as_its_hardest_action_before_or_after_the_rollout():
    hard = replace(PLAN, after=(action("k2", Tier.IRREVERSIBLE),))
    assert hard.tier is Tier.IRREVERSIBLE
    assert [item.key for item in hard.actions] == ["k", "k2"]
    assert replace(PLAN, steps=(), after=()).tier is Tier.LOCAL


def test_a_playbook_is_as_hard_as_its_hardest_step():
    step = StepTemplate(
        name="s", adapter="process", operation="restart", target="instance-a", params={}, tier=Tier.LOCAL,
        timeout_seconds=10,
    )  # fmt: skip
    book = Playbook(
        name="restart", version="1", title="Restart", match=Match(), steps=(step,), verify=CONTRACT,
        after=(replace(step, tier=Tier.SNAPSHOT),),
    )  # fmt: skip
    assert book.tier is Tier.SNAPSHOT
    assert replace(book, steps=(), after=()).tier is Tier.LOCAL
