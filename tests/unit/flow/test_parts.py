"""What the story works with: whatever is missing is said by name."""

from dataclasses import replace
from typing import Any

import pytest

from penelope.domain.action import Action, Tier
from penelope.domain.service import RouterReference, Service, Target
from penelope.errors import UnknownAdapter, UnknownService
from penelope.flow.parts import Parts, Timing
from penelope.rooms.decide.run import Limits as DecideLimits
from penelope.testing.actions import FakeAction
from penelope.testing.routers import FakeRouter

TARGET = Target(name="one", service="shop", adapter="fake", options={"password": "secret"})
SHOP = Service(name="shop", owner="team", tier=2, targets={"one": TARGET})
ACTION = Action(
    key="k",
    name="restart",
    adapter="fake",
    operation="set",
    target=replace(TARGET, options={}),
    params={},
    tier=Tier.LOCAL,
    timeout_seconds=1,
)


def parts(*services: Service) -> Parts:
    nothing: Any = None
    return Parts(
        services={service.name: service for service in services},
        playbooks=nothing,
        metrics=nothing,
        changes=nothing,
        adapters={"fake": FakeAction()},
        routers={"fake": FakeRouter()},
        clock=nothing,
        decide=DecideLimits(risk_limit=1, confidence_floor=0, observe_seconds=1, recheck_seconds=1),
        gate=(),
        timing=Timing(window_seconds=1, verify_poll_seconds=1, approval_expires_seconds=1),
    )


def test_who_leans_on_a_service_is_counted() -> None:
    others = [replace(SHOP, name=f"other-{number}", dependencies=("shop",) * number) for number in range(3)]
    assert parts(SHOP, *others).dependents("shop") == 2
    assert parts(SHOP).dependents("nowhere") == 0


def test_an_action_is_located_with_what_is_never_stored() -> None:
    located = parts(SHOP).located(ACTION)
    assert located == replace(ACTION, target=TARGET)
    with pytest.raises(UnknownService, match="service 'shop' is not in the catalogue"):
        parts().located(ACTION)
    with pytest.raises(UnknownService, match="has no target 'one' any more"):
        parts(replace(SHOP, targets={})).located(ACTION)


def test_an_adapter_must_be_installed() -> None:
    assert parts(SHOP).adapter(ACTION).name == "fake"
    with pytest.raises(UnknownAdapter, match="adapter 'melt' is not installed"):
        parts(SHOP).adapter(replace(ACTION, adapter="melt"))


def test_a_router_must_be_there_and_installed() -> None:
    routed = replace(SHOP, router=RouterReference(kind="fake", options={}, arms={}))
    assert isinstance(parts(routed).router(routed), FakeRouter)
    strange = replace(SHOP, router=RouterReference(kind="strange", options={}, arms={}))
    for service, kind in ((SHOP, "None"), (strange, "strange")):
        with pytest.raises(UnknownAdapter, match=rf"no router of an installed kind \({kind}\)"):
            parts(service).router(service)
