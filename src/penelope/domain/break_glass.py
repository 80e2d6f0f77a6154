"""A plan that a person runs at once, over refusals and unanswered questions; two others look at it afterwards."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from penelope.domain.action import Action
from penelope.domain.approval import Refusal
from penelope.domain.people import Voter
from penelope.domain.plan import Node, Plan
from penelope.kit.canonical import content_hash
from penelope.kit.codec import to_data

REVIEWERS = 2


class ReviewStatus(StrEnum):
    """OPEN until two other people have looked at it."""

    OPEN = "open"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """What somebody who looked at it has to say."""

    reviewer: str
    actor: str
    note: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakGlass:
    """One broken glass. `by` is an identity; `content` binds it to what the plan does; it lifts refusals until
    `good_until`. `lifted` is what stood against the plan when the glass was broken.
    """

    id: str
    incident: str
    service: str
    playbook: str
    content: str
    by: str
    actor: str
    reason: str
    lifted: tuple[str, ...]
    at: datetime
    good_until: datetime
    review_due_at: datetime
    reviews: tuple[Review, ...] = ()

    @property
    def status(self) -> ReviewStatus:
        return ReviewStatus.CLOSED if len(self.reviews) >= REVIEWERS else ReviewStatus.OPEN

    def covers(self, plan: Plan, now: datetime) -> bool:
        """Whether it was broken for what this plan does, a moment ago."""
        return now < self.good_until and content_of(plan) == self.content


def content_of(plan: Plan) -> str:
    """A digest over what a plan does, whichever incident it was made for.

    Keys follow from the incident: an action counts by its place among the plan's actions, and so does its place in the
    course.
    """
    places = {action.key: str(number) for number, action in enumerate(plan.actions)}
    bare = replace(
        plan,
        id="",
        incident="",
        steps=tuple(map(_without_keys, plan.steps)),
        after=tuple(map(_without_keys, plan.after)),
        course=tuple(_placed(node, places) for node in plan.course),
        after_course=tuple(_placed(node, places) for node in plan.after_course),
    )
    return content_hash(to_data(bare))


def _without_keys(action: Action) -> Action:
    rollback = None if action.rollback is None else _without_keys(action.rollback)
    return replace(action, key="", rollback=rollback)


def _placed(node: Node, places: Mapping[str, str]) -> Node:
    return replace(
        node,
        key=places.get(node.key, ""),
        children=tuple(_placed(child, places) for child in node.children),
        otherwise=tuple(_placed(child, places) for child in node.otherwise),
    )


def review(glass: BreakGlass, reviewer: Voter, note: str, now: datetime) -> BreakGlass | Refusal:
    """With one review more. Whoever broke it cannot review it, and nobody counts twice."""
    before = next((item for item in glass.reviews if item.reviewer == reviewer.identity), None)
    if before is not None:
        return glass
    if glass.status is ReviewStatus.CLOSED:
        return Refusal(reason="two people have reviewed it already")
    if reviewer.machine or reviewer.identity == glass.by:
        return Refusal(reason="two people other than who broke the glass must review it", forbidden=True)
    done = Review(reviewer=reviewer.identity, actor=reviewer.actor, note=note, at=now)
    return replace(glass, reviews=(*glass.reviews, done))
