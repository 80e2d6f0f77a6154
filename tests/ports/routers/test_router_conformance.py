"""What every router promises, on a real Traefik and on those that only remember."""

import asyncio
import itertools
from pathlib import Path
from typing import Any

import pytest
from kube_routed import KUBE_ROUTERS
from ruamel.yaml import YAML

from penelope.adapters.routers.noop import NoopRouter
from penelope.adapters.routers.traefik import TraefikRouter
from penelope.adapters.routers.traefik_http import TraefikHttpRouter
from penelope.domain.service import RouterReference, Service
from penelope.domain.traffic import Affinity, Extra, Feature, Mirror, Pin
from penelope.errors import InvalidCatalogue, InvalidPlaybook, Unavailable
from penelope.rooms.rollout.ports import Router
from penelope.testing.routers import FakeRouter

NUMBERS = itertools.count()
EXTRAS: dict[Feature, Extra] = {
    Feature.MIRROR: Mirror(arm="green", percent=20),
    Feature.PIN: Pin(arm="green", header="X-Canary", value="always"),
    Feature.AFFINITY: Affinity(cookie="shop-arm", max_age_seconds=600),
}

SERVICE = Service(
    name="shop",
    owner="team",
    tier=1,
    router=RouterReference(kind="noop", options={}, arms={"blue": "b", "green": "g"}),
)


@pytest.fixture(params=["noop", "fake", "traefik", "traefik_http", *KUBE_ROUTERS])
def routed(request: pytest.FixtureRequest) -> tuple[Router, Service]:
    name = f"routed-{request.node.originalname.replace('_', '-')}-{next(NUMBERS)}"
    if request.param == "traefik":
        return TraefikRouter(), request.getfixturevalue("traefik").service(name, {"blue": 50, "green": 50})
    if request.param == "traefik_http":
        return TraefikHttpRouter(), request.getfixturevalue("asking_traefik").service(name)
    if request.param in KUBE_ROUTERS:
        short = f"{request.param.replace('_', '-')}-{next(NUMBERS)}"
        return KUBE_ROUTERS[request.param](), request.getfixturevalue("cluster").service(request.param, short)
    return (NoopRouter() if request.param == "noop" else FakeRouter()), SERVICE


def test_an_untouched_service_is_split_evenly(routed: tuple[Router, Service]) -> None:
    router, service = routed
    assert asyncio.run(router.weights(service)) == {"blue": 50, "green": 50}


@pytest.mark.parametrize("weights", [{"blue": 90, "green": 10}, {"blue": 0, "green": 100}])
def test_weights_set_are_weights_read(routed: tuple[Router, Service], weights: dict[str, int]) -> None:
    router, service = routed
    asyncio.run(router.set_weights(service, weights))
    assert asyncio.run(router.weights(service)) == weights


def test_setting_twice_is_harmless(routed: tuple[Router, Service]) -> None:
    router, service = routed

    async def twice() -> None:
        await router.set_weights(service, {"blue": 30, "green": 70})
        await router.set_weights(service, {"blue": 30, "green": 70})

    asyncio.run(twice())
    assert asyncio.run(router.weights(service)) == {"blue": 30, "green": 70}


@pytest.mark.parametrize(
    "weights",
    [
        {"blue": 100},
        {"blue": 50, "green": 40},
        {"blue": 150, "green": -50},
        {"blue": 50, "green": 40, "red": 10},
    ],
)
def test_weights_that_do_not_fit_change_nothing(
    routed: tuple[Router, Service], weights: dict[str, int]
) -> None:
    router, service = routed
    with pytest.raises(InvalidPlaybook):
        asyncio.run(router.set_weights(service, weights))
    assert asyncio.run(router.weights(service)) == {"blue": 50, "green": 50}


async def told(router: Router, service: Service, feature: Feature, extra: Any) -> None:
    match feature:
        case Feature.MIRROR:
            await router.mirror(service, extra)
        case Feature.PIN:
            await router.pin(service, extra)
        case Feature.AFFINITY:
            await router.stick(service, extra)


@pytest.mark.parametrize("feature", Feature)
def test_what_a_router_can_do_leaves_the_weights_alone_and_what_it_cannot_it_refuses(
    routed: tuple[Router, Service], feature: Feature
) -> None:
    router, service = routed

    async def story() -> None:
        await router.set_weights(service, {"blue": 90, "green": 10})
        if feature not in router.features:
            with pytest.raises(InvalidPlaybook, match=feature.value):
                await told(router, service, feature, EXTRAS[feature])
            return
        for extra in (EXTRAS[feature], EXTRAS[feature], None, None, EXTRAS[feature]):
            await told(router, service, feature, extra)
            assert await router.weights(service) == {"blue": 90, "green": 10}
        await router.set_weights(service, {"blue": 75, "green": 25})
        await router.finalise(service)
        await router.finalise(service)
        assert await router.weights(service) == {"blue": 75, "green": 25}

    asyncio.run(story())


HOSTILE: list[tuple[Feature, Extra]] = [
    (Feature.MIRROR, Mirror(arm="red", percent=20)),
    (Feature.MIRROR, Mirror(arm="green", percent=0)),
    (Feature.MIRROR, Mirror(arm="green", percent=101)),
    (Feature.PIN, Pin(arm="green", value="x")),
    (Feature.PIN, Pin(arm="green", value="x", header="A", cookie="b")),
    (Feature.PIN, Pin(arm="red", value="x", header="A")),
    (Feature.PIN, Pin(arm="green", value="`) || PathPrefix(`/", header="A")),
    (Feature.PIN, Pin(arm="green", value=".*", cookie="a")),
    (Feature.PIN, Pin(arm="green", value="x", header="A`, `b")),
    (Feature.PIN, Pin(arm="green", value="x\n", header="A")),
    (Feature.AFFINITY, Affinity(cookie="a; Domain=x")),
    (Feature.AFFINITY, Affinity(cookie="a", max_age_seconds=0)),
]


def test_hostile_and_impossible_requests_change_nothing(routed: tuple[Router, Service]) -> None:
    router, service = routed

    async def story() -> None:
        for feature, extra in HOSTILE:
            with pytest.raises(InvalidPlaybook):
                await told(router, service, feature, extra)
        assert await router.weights(service) == {"blue": 50, "green": 50}

    asyncio.run(story())


def test_findings_of_a_sound_setup_complain_of_nothing(routed: tuple[Router, Service]) -> None:
    router, service = routed
    asyncio.run(router.set_weights(service, {"blue": 90, "green": 10}))
    assert [item for item in asyncio.run(router.findings(service)) if not item.works] == []
    assert asyncio.run(router.weights(service)) == {"blue": 90, "green": 10}


def test_a_service_without_router_is_refused(routed: tuple[Router, Service]) -> None:
    bare = Service(name="bare", owner="team", tier=3)
    with pytest.raises(InvalidCatalogue):
        asyncio.run(routed[0].weights(bare))


def test_traefik_shows_the_weights_when_the_call_returns(traefik: Any) -> None:
    service = traefik.service("seen", {"blue": 100, "green": 0})
    asyncio.run(TraefikRouter().set_weights(service, {"blue": 1, "green": 99}))
    assert traefik.shown("seen") == {"seen-blue": 1, "seen-green": 99}


def test_two_changes_of_one_file_at_once_both_arrive(traefik: Any) -> None:
    service = traefik.service("at-once", {"blue": 100, "green": 0})
    router = TraefikRouter()

    async def both() -> None:
        await asyncio.gather(
            router.set_weights(service, {"blue": 60, "green": 40}),
            router.set_weights(service, {"blue": 60, "green": 40}),
        )

    asyncio.run(both())
    assert traefik.shown("at-once") == {"at-once-blue": 60, "at-once-green": 40}


def test_the_rest_of_the_file_and_its_mode_stay(traefik: Any) -> None:
    service = traefik.service("kept", {"blue": 100, "green": 0})
    file = Path(str(service.router.options["file"]))
    file.chmod(0o640)
    before = file.read_text()
    asyncio.run(TraefikRouter().set_weights(service, {"blue": 0, "green": 100}))
    after = file.read_text()
    assert (before.count("weight: 100"), after.count("weight: 100")) == (1, 1)
    expected = YAML(typ="safe").load(before)
    for entry, weight in zip(
        expected["http"]["services"]["kept"]["weighted"]["services"], (0, 100), strict=True
    ):
        entry["weight"] = weight
    found = YAML(typ="safe").load(after)
    assert found["http"]["routers"].pop("penelope-kept-revision")["service"] == "noop@internal"
    assert list(found["http"].pop("middlewares")) == ["penelope-kept-revision"]
    assert found == expected
    assert "# kept by hand" in after
    assert "# arm blue" in after
    assert file.stat().st_mode & 0o777 == 0o640
    assert [entry.name for entry in file.parent.iterdir() if entry.suffix == ".next"] == []


def _service(
    file: Path, api: str | None = None, arms: dict[str, str] | None = None, service: str = "shop"
) -> Service:
    options: dict[str, Any] = {"file": str(file), "service": service}
    if api is not None:
        options["api"] = api
    router = RouterReference(kind="traefik", options=options, arms=arms or {"blue": "b", "green": "g"})
    return Service(name="shop", owner="team", tier=1, router=router)


def _json(entries: str) -> str:
    return f'{{"http": {{"services": {{"shop": {{"weighted": {{"services": [{entries}]}}}}}}}}}}'


def test_a_json_file_without_api_is_written_only(tmp_path: Path) -> None:
    file = tmp_path / "dynamic.json"
    file.write_text(_json('{"name": "b", "weight": 3}, {"name": "g"}, {"name": "other", "weight": 0}'))
    service = _service(file)
    assert asyncio.run(TraefikRouter().weights(service)) == {"blue": 75, "green": 25}
    asyncio.run(TraefikRouter().set_weights(service, {"blue": 0, "green": 100}))
    assert asyncio.run(TraefikRouter().weights(service)) == {"blue": 0, "green": 100}
    assert '"other"' in file.read_text()


def test_weights_that_are_no_percentages_are_rounded_to_a_hundred(tmp_path: Path) -> None:
    file = tmp_path / "dynamic.json"
    file.write_text(_json('{"name": "b", "weight": 2}, {"name": "g", "weight": 1}'))
    assert asyncio.run(TraefikRouter().weights(_service(file))) == {"blue": 67, "green": 33}


@pytest.mark.parametrize(
    "content",
    [
        None,
        "{",
        "[]",
        _json('{"name": "b"}'),
        _json('{"weight": 1}'),
        _json('{"name": 1}'),
        _json('{"name": "b", "weight": "x"}, {"name": "g"}'),
        _json('{"name": "b", "weight": 0}, {"name": "g", "weight": 0}'),
    ],
)
def test_a_file_that_cannot_be_used_is_a_router_out_of_reach(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "dynamic.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(Unavailable):
        asyncio.run(TraefikRouter().weights(_service(file)))


def test_an_arm_that_the_file_does_not_list_cannot_be_set(tmp_path: Path) -> None:
    file = tmp_path / "dynamic.json"
    file.write_text(_json('{"name": "b", "weight": 1}'))
    with pytest.raises(Unavailable, match="does not list g"):
        asyncio.run(TraefikRouter().set_weights(_service(file), {"blue": 10, "green": 90}))


def test_weights_that_traefik_does_not_take_over_are_not_in_force(traefik: Any, tmp_path: Path) -> None:
    traefik.service("shop", {"blue": 100, "green": 0})
    unwatched = tmp_path / "dynamic.yml"
    unwatched.write_text(_json('{"name": "shop-blue", "weight": 100}, {"name": "shop-green", "weight": 0}'))
    service = _service(unwatched, traefik.api, {"blue": "shop-blue", "green": "shop-green"})
    with pytest.raises(Unavailable, match="not taken over"):
        asyncio.run(TraefikRouter(deadline_seconds=0.3).set_weights(service, {"blue": 5, "green": 95}))


def test_options_that_do_not_fit_are_named(tmp_path: Path) -> None:
    router = RouterReference(kind="traefik", options={"file": str(tmp_path)}, arms={"blue": "b"})
    service = Service(name="shop", owner="team", tier=1, router=router)
    with pytest.raises(InvalidCatalogue, match="service"):
        asyncio.run(TraefikRouter().weights(service))


def test_a_fake_that_is_cut_off_says_so_and_keeps_history() -> None:
    router = FakeRouter()
    asyncio.run(router.set_weights(SERVICE, {"blue": 10, "green": 90}))
    router.out_of_reach = True
    with pytest.raises(Unavailable):
        asyncio.run(router.set_weights(SERVICE, {"blue": 20, "green": 80}))
    with pytest.raises(Unavailable):
        asyncio.run(router.weights(SERVICE))
    assert router.history == [("shop", {"blue": 10, "green": 90})]


def test_a_file_that_cannot_be_replaced_is_a_router_out_of_reach(tmp_path: Path) -> None:
    file = tmp_path / "dynamic.json"
    file.write_text(_json('{"name": "b", "weight": 50}, {"name": "g", "weight": 50}'))
    (tmp_path / ".dynamic.json.next").mkdir()
    with pytest.raises(Unavailable, match="cannot be written"):
        asyncio.run(TraefikRouter().set_weights(_service(file), {"blue": 0, "green": 100}))
    assert asyncio.run(TraefikRouter().weights(_service(file))) == {"blue": 50, "green": 50}


@pytest.mark.parametrize("api", ["{}", "{}/api/rawdata?x=", "http://127.0.0.1:9"])
def test_what_the_api_does_not_show_is_not_in_force(traefik: Any, tmp_path: Path, api: str) -> None:
    traefik.service("loaded", {"blue": 100, "green": 0})
    file = tmp_path / "dynamic.json"
    file.write_text(
        _json('{"name": "b", "weight": 50}, {"name": "g", "weight": 50}').replace("shop", "unloaded")
    )
    service = _service(file, api.format(traefik.api), service="unloaded")
    with pytest.raises(Unavailable):
        asyncio.run(TraefikRouter(deadline_seconds=0.2).weights(service))
    with pytest.raises(Unavailable):
        asyncio.run(TraefikRouter(deadline_seconds=0.2).set_weights(service, {"blue": 0, "green": 100}))
