"""Who may know of what is kept for a while, and never longer: policy, model and registry may change beneath it."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from penelope.domain.access import Access, AccessQuestion, Asset, Classification, Subject, Verb
from penelope.domain.answer import Outcome, Told
from penelope.domain.concept import Definition, DefinitionKind, Request
from penelope.domain.degradation import Store
from penelope.domain.semantics import Member, MemberKind, Model
from penelope.errors import Unavailable
from penelope.flow.resolving import Definitions, Limits, Resolver, Stores
from penelope.flow.sight import Sights
from penelope.kit.clock import SystemClock
from penelope.kit.guard import Guard, Patience
from penelope.rooms.context.registry import Registry
from penelope.rooms.context.registry_of import registry_of
from penelope.rooms.context.resolve import Rules

ANN = Subject(actor="ann", role="analyst")
EVE = Subject(actor="eve", role="intern")


@dataclass
class Plain:
    """Denies what is in `hidden`, by name."""

    hidden: set[str] = field(default_factory=set)
    failed: str = ""
    asked: int = 0

    async def judge(self, questions: Sequence[AccessQuestion]) -> Sequence[Access]:
        self.asked += len(questions)
        return [
            Access(allow=not self.failed and self._may(question), failed=self.failed)
            for question in questions
        ]

    def _may(self, question: AccessQuestion) -> bool:
        return question.asset.name not in self.hidden


@dataclass
class ByClass(Plain):
    """Interns may not know of what is confidential; nothing else is looked at."""

    def _may(self, question: AccessQuestion) -> bool:
        return question.subject.role != "intern" or question.asset.classification != "confidential"

    def alike(self, asset: Asset) -> Hashable:
        return asset.classification


@dataclass
class Layer:
    model_: Model
    down: bool = False
    read: int = 0

    async def model(self) -> Model:
        self.read += 1
        await asyncio.sleep(0)
        if self.down:
            raise Unavailable("the store is down")
        return self.model_


class Nothing:
    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def ask(*_: Any) -> Any:
            return []

        return ask


def model(*names: str) -> Model:
    members = tuple(
        Member(
            name=f"orders.{name}",
            kind=MemberKind.MEASURE,
            type="sum",
            title=name,
            meta={"classification": "confidential" if name == "margin" else "internal"},
        )
        for name in names
    )
    return Model(members=members)


def made(governor: Any, layer: Layer, fresh_seconds: float = 60.0) -> Resolver:
    nothing: Any = Nothing()
    semantic: Any = layer
    stores = Stores(semantic=semantic, graph=nothing, passages=nothing, governor=governor)
    guards = {
        store: Guard(store.value, Patience(attempts=1)) for store in Store if store is not Store.REGISTRY
    }
    limits = Limits(fresh_seconds=fresh_seconds)
    return Resolver(
        stores, guards, Definitions(registry_of=registry_of), Rules(), SystemClock(), limits=limits
    )


async def asked(resolver: Resolver, concept: str, subject: Subject = ANN) -> Told:
    return await resolver.tell(Request(concept=concept, subject=subject, at=datetime.now(UTC)))


@pytest.mark.parametrize("governor", [Plain(), ByClass()])
def test_a_changed_policy_counts_from_the_next_question_on(governor: Any) -> None:
    async def scene() -> None:
        resolver = made(governor, Layer(model("margin", "revenue")))
        assert (await asked(resolver, "margin")).outcome is Outcome.RESOLVED
        resolver.stores = Stores(
            semantic=resolver.stores.semantic,
            graph=resolver.stores.graph,
            passages=resolver.stores.passages,
            governor=Plain(hidden={"orders.margin"}),
        )
        told = await asked(resolver, "margin")
        assert told.outcome is Outcome.UNRESOLVED
        assert not told.choices

    asyncio.run(scene())


def test_what_is_revoked_is_not_told_though_the_sight_is_kept() -> None:
    async def scene() -> None:
        governor = Plain()
        resolver = made(governor, Layer(model("margin", "revenue")))
        assert (await asked(resolver, "margin")).outcome is Outcome.RESOLVED
        governor.hidden.add("orders.margin")
        told = await asked(resolver, "margin")
        assert (told.outcome, told.definition, told.choices) == (Outcome.UNRESOLVED, None, ())

    asyncio.run(scene())


def test_what_is_revoked_takes_no_part_in_ranking_once_the_sight_is_old() -> None:
    async def scene() -> None:
        governor = Plain()
        resolver = made(governor, Layer(model("margin", "net margin")), fresh_seconds=0.0)
        assert (await asked(resolver, "margin")).definition is not None
        governor.hidden.add("orders.margin")
        told = await asked(resolver, "net margin")
        alone = await asked(made(Plain(), Layer(model("net margin"))), "net margin")
        assert told.confidence == alone.confidence
        assert told.choices == alone.choices

    asyncio.run(scene())


def test_a_changed_model_counts_once_it_is_read_again() -> None:
    async def scene() -> None:
        layer = Layer(model("revenue"))
        resolver = made(ByClass(), layer, fresh_seconds=0.0)
        assert (await asked(resolver, "margin")).outcome is Outcome.UNRESOLVED
        layer.model_ = model("margin")
        assert (await asked(resolver, "margin")).outcome is Outcome.RESOLVED
        assert (await asked(resolver, "margin", EVE)).outcome is Outcome.UNRESOLVED
        assert (await asked(resolver, "revenue")).outcome is Outcome.UNRESOLVED

    asyncio.run(scene())


def test_of_a_model_that_cannot_be_read_again_the_last_one_stands() -> None:
    async def scene() -> None:
        layer = Layer(model("revenue"))
        resolver = made(ByClass(), layer, fresh_seconds=0.0)
        assert (await asked(resolver, "revenue")).notices == ()
        layer.down = True
        told = await asked(resolver, "revenue")
        assert told.outcome is Outcome.RESOLVED
        assert [notice.store for notice in told.notices] == [Store.SEMANTIC]

    asyncio.run(scene())


def test_of_a_model_that_was_never_read_all_who_wait_are_told() -> None:
    async def scene() -> None:
        layer = Layer(model("revenue"), down=True)
        resolver = made(ByClass(), layer)
        told = await asyncio.gather(*(asked(resolver, "revenue") for _ in range(5)))
        assert [each.why for each in told] == ["the definitions cannot be read just now"] * 5
        assert all(each.notices for each in told)
        assert layer.read == 1

    asyncio.run(scene())


def test_whoever_asks_first_may_go_and_the_others_are_answered() -> None:
    async def scene() -> None:
        resolver = made(ByClass(), Layer(model("revenue")))
        first = asyncio.create_task(asked(resolver, "revenue"))
        second = asyncio.create_task(asked(resolver, "revenue"))
        await asyncio.sleep(0)
        first.cancel()
        assert (await second).outcome is Outcome.RESOLVED

    asyncio.run(scene())


def test_a_sight_that_could_not_be_judged_is_not_kept() -> None:
    async def scene() -> None:
        governor = ByClass(failed="out of reach")
        resolver = made(governor, Layer(model("revenue")))
        assert (await asked(resolver, "revenue")).outcome is Outcome.DENIED
        governor.failed = ""
        assert (await asked(resolver, "revenue")).outcome is Outcome.RESOLVED

    asyncio.run(scene())


def test_a_policy_engine_that_is_down_is_not_asked_about_everything() -> None:
    async def scene() -> None:
        governor = Plain(failed="out of reach")
        resolver = made(governor, Layer(model(*(f"measure {number}" for number in range(2000)))))
        told = await asked(resolver, "measure 7")
        assert (told.outcome, told.definition, told.choices) == (Outcome.DENIED, None, ())
        assert [notice.store for notice in told.notices] == [Store.POLICY]
        assert governor.asked < 50

    asyncio.run(scene())


def registry(number: int = 40) -> Registry:
    classes = list(Classification)
    return Registry(
        Definition(
            name=f"cube.m{index}",
            kind=DefinitionKind.METRIC,
            title=f"measure {index}",
            classification=classes[index % len(classes)],
        )
        for index in range(number)
    )


def test_those_who_may_know_the_same_share_a_registry_and_each_kind_is_judged_once() -> None:
    async def scene() -> None:
        whole, governor = registry(), ByClass()
        sights = Sights(whole, governor)

        def judged(subject: Subject) -> Callable[[Verb, Sequence[Asset]], Awaitable[Sequence[Access]]]:
            return lambda verb, assets: governor.judge(
                [AccessQuestion(subject=subject, verb=verb, asset=asset) for asset in assets]
            )

        other = Subject(actor="ivo", role="intern")
        (one, sound), (two, _) = await asyncio.gather(sights.seen(judged(EVE)), sights.seen(judged(other)))
        assert sound
        assert one is two
        # Each is asked what it may know of, and of that what it may read.
        assert governor.asked == 2 * (2 * len(Classification) - 1)
        hidden = {name for name, each in whole.definitions.items() if each.classification == "confidential"}
        assert hidden
        assert one.definitions.keys() == whole.definitions.keys() - hidden
        assert (await sights.seen(judged(ANN)))[0] is whole

    asyncio.run(scene())
