"""Of a branch that breaks off nobody knows how far it came."""

import asyncio
from collections.abc import Mapping
from typing import Any

from penelope.domain.action import Action, Tier
from penelope.domain.plan import Node, NodeKind
from penelope.domain.service import Target
from penelope.flow.acting import Done
from penelope.flow.carrying_out import Journey, Stretch, Travelled
from penelope.kit.codec import to_data


def action(name: str) -> Action:
    return Action(
        key=f"key-{name}",
        name=name,
        adapter="fake",
        operation="set",
        target=Target(name=name, service="shop", adapter="fake"),
        params={},
        tier=Tier.LOCAL,
        timeout_seconds=1,
    )


class Engine:
    """Of all branches, only the first comes to its end."""

    async def beside(self, _: str, __: str, given: Mapping[str, Any]) -> dict[str, Any]:
        whole = Travelled(done=(Done(action=action("one"), leased_at="2026-01-01T00:00:00+00:00"),))
        return {next(iter(given)): to_data(whole)}


def test_all_that_it_may_have_done_is_unknown_and_the_others_are_told() -> None:
    nodes = tuple(Node(kind=NodeKind.ACTION, key=f"key-{name}", name=name) for name in ("one", "two"))
    parallel = Node(kind=NodeKind.PARALLEL, key="p", name="p", children=nodes)
    actions = {f"key-{name}": action(name) for name in ("one", "two")}
    standing: Any = Engine()
    parts: Any = None
    journey = Journey(standing, parts, "inc_1", Stretch(service="shop", nodes=(parallel,), actions=actions))
    travelled = asyncio.run(journey.go())
    assert travelled.trouble == "two: its branch broke off"
    assert {item.action.name: (item.unknown, item.broke) for item in travelled.done} == {
        "one": (False, False),
        "two": (True, True),
    }
