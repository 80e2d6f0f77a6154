"""Deployments over HTTP: begun, listed, told, revised, and followed by server-sent events."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from doorstep import SERVICES, Doorstep, settings

from penelope.flow.keys import Scope

PATH = "/api/v1/deployments"
HAND_LED = [{"weight": weight, "manual": True} for weight in (10, 30)]
PATIENT = {"silence_seconds": 3600, "on_silence": "hold"}
"""There is no source of counts behind this door: a deployment waits for what people say."""


def catalogue(*names: str) -> str:
    router = "router: {kind: noop, arms: {a: a, b: b}}"
    return SERVICES + "".join(f"  {name}: {{owner: team-shop, tier: 2, {router}}}\n" for name in names)


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doorstep]:
    folder = tmp_path_factory.mktemp("deployments")
    wanted_settings = settings(folder)
    (folder / "services.yaml").write_text(catalogue(*(f"s{number}" for number in range(20))))
    with Doorstep(wanted_settings) as door:
        yield door


@pytest.fixture
def service(door: Doorstep) -> str:
    """A service whose traffic is free, and will be again."""
    under_way = {
        item["service"] for item in door.get(PATH, params={"active": True, "limit": 500})["deployments"]
    }
    return next(name for name in (f"s{number}" for number in range(20)) if name not in under_way)


def course(**changes: Any) -> dict[str, Any]:
    plain = {"canary": "b", "control": "a", "stages": HAND_LED, "analysis": PATIENT, "interval_seconds": 3600}
    return {**plain, **changes}


def wanted(service: str, **changes: Any) -> dict[str, Any]:
    return {"service": service, "course": course(), "reason": "version 2", **changes}


def begun(door: Doorstep, service: str, **changes: Any) -> str:
    answer = door.ask("POST", PATH, json=wanted(service, **changes))
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def shown(door: Doorstep, identifier: str) -> dict[str, Any]:
    found: dict[str, Any] = door.get(f"{PATH}/{identifier}")["deployment"]
    return found


def until(door: Doorstep, identifier: str, **expected: Any) -> dict[str, Any]:
    found: dict[str, Any] = door.until(
        lambda: shown(door, identifier), lambda item: all(item[name] == expected[name] for name in expected)
    )
    return found


def tell(door: Doorstep, identifier: str, order: str, key: str | None = "", **more: Any) -> Any:
    body = {"order": order, "reason": "because", **more}
    return door.ask("POST", f"{PATH}/{identifier}/words", json=body, key=key)


def end(door: Doorstep, identifier: str) -> None:
    assert tell(door, identifier, "cancel").status_code == 200
    until(door, identifier, status="cancelled")


def streamed(door: Doorstep, identifier: str, last: str | None = None) -> list[dict[str, Any]]:
    """The events that a client is sent until the server ends the stream."""
    headers = {} if last is None else {"Last-Event-ID": last}
    answer = door.ask("GET", f"{PATH}/{identifier}/stream", headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    events = []
    for block in answer.text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if fields:
            told = json.loads(fields["data"])
            assert (fields["id"], fields["event"]) == (str(told["version"]), told["event"])
            events.append(told)
    return events


def test_one_is_led_by_hand_to_its_end(door: Doorstep, service: str) -> None:
    key = door.key(Scope.APPROVE)
    body = wanted(service, revision="v2", key="release-2")
    made = [door.ask("POST", PATH, json=body, key=key).json() for _ in range(2)]
    assert made[0]["id"] == made[1]["id"]
    identifier = made[0]["id"]
    first = until(door, identifier, weight=10, moving=False)
    assert (first["status"], first["stage"], first["revision"]) == ("progressing", 0, "v2")
    assert first["course"]["analysis"]["on_silence"] == "hold"
    assert first["created_by"].startswith("key:")
    other = wanted(service, key="release-2", course=course(auto_promote=False))
    door.problem(400, "invalid_request", lambda: door.ask("POST", PATH, json=other, key=key))
    for _ in range(2):
        assert tell(door, identifier, "step", stage=0).json()["stage"] == 1
    until(door, identifier, weight=30, moving=False)
    assert tell(door, identifier, "promote").json()["status"] in {"promoting", "promoted"}
    last = until(door, identifier, status="promoted")
    assert (last["weight"], last["cause"]) == (100, None)
    assert last["ended_at"]


def test_an_abort_takes_the_traffic_away_and_says_whose_word_it_was(door: Doorstep, service: str) -> None:
    identifier = begun(door, service)
    until(door, identifier, weight=10)
    assert tell(door, identifier, "abort").status_code == 200
    last = until(door, identifier, status="rolled_back")
    assert (last["weight"], last["cause"], last["reason"]) == (0, "person", "because")


def test_what_is_asked_of_the_analysis_is_what_is_kept(door: Doorstep, service: str) -> None:
    analysis = {
        "alpha": 0.01,
        "beta": 0.02,
        "factor": 3,
        "limits": {"min_success_ratio": 0.9, "max_error_ratio": 0.05, "min_requests": 7},
        "silence_seconds": 300,
        "on_silence": "hold",
        "undecided": "promote",
        "latency": False,
        "tempering": {"errors": {"factor": 2.5, "information": 4}},
    }
    beside = {
        "mirror": {"arm": "b", "percent": 5},
        "pin": {"arm": "b", "value": "yes", "header": "X-Canary"},
        "affinity": {"cookie": "arm"},
    }
    identifier = begun(door, service, course=course(analysis=analysis, **beside))
    try:
        kept = door.run(door.running.deployments.shown(identifier)).deployment.course
        assert (kept.analysis.alpha, kept.analysis.undecided.value) == (0.01, "promote")
        assert (kept.analysis.limits.min_requests, kept.analysis.tempering.errors.factor) == (7, 2.5)
        assert (kept.mirror.percent, kept.pin.header, kept.affinity.cookie) == (5, "X-Canary", "arm")
        told = shown(door, identifier)["course"]
        assert told["analysis"]["limits"]["max_latency_p99_increase_seconds"] == 0.5
        assert told["pin"] == {"arm": "b", "value": "yes", "header": "X-Canary", "cookie": ""}
        until(door, identifier, weight=10)
        router = door.running.parts.routers["noop"]
        beside_weights = router.told(door.running.parts.services[service])
        assert len(beside_weights) == 3
    finally:
        end(door, identifier)
    assert router.told(door.running.parts.services[service]) == {}


@pytest.mark.parametrize(
    ("course_changes", "said"),
    [
        ({"canary": "z"}, "no arm 'z'"),
        ({"mirror": {"arm": "z", "percent": 5}}, "no arm 'z'"),
        ({"pin": {"arm": "z", "value": "a", "header": "H"}}, "no arm 'z'"),
        ({"pin": {"arm": "b", "value": "a", "header": "H", "cookie": "c"}}, "header or by a cookie"),
        ({"pin": {"arm": "b", "value": "a"}}, "header or by a cookie"),
        ({"pin": {"arm": "b", "value": "`) || true", "header": "H"}}, "pin"),
        ({"pin": {"arm": "b", "value": "a\n", "header": "H"}}, "pin"),
        ({"affinity": {"cookie": "a;b"}}, "cookie"),
        ({"affinity": {"cookie": "a", "max_age_seconds": 0}}, "max_age_seconds"),
        ({"mirror": {"arm": "b", "percent": 101}}, "percent"),
        ({"control": "b"}, "itself"),
        ({"canary": "b\x00"}, "canary"),
        ({"canary": ""}, "canary"),
        ({"canary": "b" * 257}, "canary"),
        ({"stages": []}, "stages"),
        ({"stages": [{"weight": 50}, {"weight": 10}]}, "larger weight"),
        ({"stages": [{"weight": 101}]}, "weight"),
        ({"stages": [{"weight": -1}]}, "weight"),
        ({"stages": [{"weight": 1.5}]}, "weight"),
        ({"stages": [{"weight": number} for number in range(21)]}, "stages"),
        ({"stages": [{"weight": 10, "max_seconds": 1e12}]}, "max_seconds"),
        ({"stages": [{"weight": 10, "min_seconds": -1}]}, "min_seconds"),
        ({"interval_seconds": 0}, "interval_seconds"),
        ({"interval_seconds": 1e9}, "interval_seconds"),
        ({"analysis": {"alpha": 0}}, "alpha"),
        ({"analysis": {"alpha": 1}}, "alpha"),
        ({"analysis": {"alpha": "NaN"}}, "alpha"),
        ({"analysis": {"on_silence": "promote"}}, "on_silence"),
        ({"analysis": {"factor": 1}}, "factor"),
        ({"analysis": {"limits": {"max_error_ratio": 0}}}, "max_error_ratio"),
        ({"analysis": {"limits": {"min_requests": -1}}}, "min_requests"),
        ({"analysis": {"tempering": {"errors": {"factor": 0.5}}}}, "factor"),
        ({"analysis": {"max_step_seconds": 5}}, "max_step_seconds"),
        ({"owner": "ada"}, "owner"),
    ],
)
def test_a_course_that_cannot_be_gone_is_refused(
    door: Doorstep, service: str, course_changes: dict[str, Any], said: str
) -> None:
    body = wanted(service, course=course(**course_changes))
    problem = door.problem(400, "invalid_request", lambda: door.ask("POST", PATH, json=body))
    assert said in json.dumps(problem)


@pytest.mark.parametrize(
    "changes",
    [
        {"reason": ""},
        {"reason": " \n"},
        {"reason": "a" * 4097},
        {"revision": "a\nb"},
        {"revision": "a" * 257},
        {"patch": "a\x00"},
        {"patch": "inc_1:step"},
        {"key": "a b"},
        {"service": "a" * 257},
        {"service": "a\x00b"},
        {"service": 7},
        {"course": None},
        {"owner": "ada"},
    ],
)
def test_hostile_deployments_are_refused(door: Doorstep, service: str, changes: dict[str, Any]) -> None:
    body = {**wanted(service), **changes}
    door.problem(400, "invalid_request", lambda: door.ask("POST", PATH, json=body))


def test_a_service_must_be_there_and_have_a_router(door: Doorstep) -> None:
    unknown = wanted("nobody")
    door.problem(422, "unknown_service", lambda: door.ask("POST", PATH, json=unknown))
    routerless = wanted("shop")
    door.problem(400, "invalid_request", lambda: door.ask("POST", PATH, json=routerless))


def test_unknown_ones_and_other_units_are_not_found(door: Doorstep) -> None:
    incident = door.open(id="no-deployment")
    door.wait_for(incident, "escalated")
    for identifier in ("deployment_none", incident):
        for part in ("", "/events", "/stream"):
            where = f"{PATH}/{identifier}{part}"
            door.problem(404, "unknown_deployment", lambda where=where: door.ask("GET", where))
        door.problem(404, "unknown_deployment", lambda name=identifier: tell(door, name, "abort"))
        where, body = f"{PATH}/{identifier}/revision", {"revision": "v3", "reason": "new"}
        door.problem(
            404, "unknown_deployment", lambda where=where, body=body: door.ask("POST", where, json=body)
        )
    for identifier in ("a%00b", "a" * 65, "%2e%2e%2fetc"):
        assert door.ask("GET", f"{PATH}/{identifier}").status_code in {400, 404}


@pytest.fixture
def waiting(door: Doorstep, service: str) -> Iterator[str]:
    """A deployment in its first stage, that only a person ends."""
    identifier = begun(door, service)
    until(door, identifier, weight=10, moving=False)
    yield identifier
    if not shown(door, identifier)["ended_at"]:
        end(door, identifier)


def test_one_rollout_has_the_traffic_of_a_service(door: Doorstep, waiting: str) -> None:
    body = wanted(shown(door, waiting)["service"])
    answer = door.ask("POST", PATH, json=body)
    assert answer.status_code == 409
    assert answer.json()["code"] == "already_decided"
    assert waiting in answer.json()["detail"]


def test_who_may_only_write_can_take_traffic_away_and_give_none(door: Doorstep, waiting: str) -> None:
    write = door.key(Scope.WRITE)
    for order in ("resume", "step", "promote"):
        refused = tell(door, waiting, order, key=write)
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
        assert "'approve'" in refused.json()["detail"]
    assert shown(door, waiting)["stage"] == 0
    assert tell(door, waiting, "pause", key=write).json()["paused"] is True
    assert tell(door, waiting, "cancel", key=write).status_code == 200
    assert until(door, waiting, status="cancelled")["weight"] == 0


def test_a_word_that_comes_too_late_is_refused(door: Doorstep, waiting: str) -> None:
    assert tell(door, waiting, "resume").json()["status"] == "progressing"  # it is not paused: harmless
    tell(door, waiting, "abort")
    until(door, waiting, status="rolled_back")
    assert tell(door, waiting, "abort").status_code == 200
    for order in ("pause", "resume", "step", "promote", "cancel"):
        door.problem(409, "already_decided", lambda order=order: tell(door, waiting, order))
    revision = {"revision": "v9", "reason": "late"}
    door.problem(
        409, "already_decided", lambda: door.ask("POST", f"{PATH}/{waiting}/revision", json=revision)
    )


@pytest.mark.parametrize(
    "body",
    [
        {"order": "explode", "reason": "x"},
        {"order": "abort"},
        {"order": "abort", "reason": " "},
        {"order": "abort", "reason": "a" * 4097},
        {"order": "step", "reason": "x", "stage": -1},
        {"order": "step", "reason": "x", "stage": 10**30},
        {"order": "step", "reason": "x", "force": True},
    ],
)
def test_hostile_words_are_refused(door: Doorstep, body: dict[str, Any]) -> None:
    door.problem(400, "invalid_request", lambda: door.ask("POST", f"{PATH}/deployment_none/words", json=body))


def test_a_revision_begins_anew(door: Doorstep, waiting: str) -> None:
    tell(door, waiting, "step", stage=0)
    until(door, waiting, weight=30)
    revision = {"revision": "v3", "reason": "mended"}
    for _ in range(2):
        answer = door.ask(
            "POST", f"{PATH}/{waiting}/revision", json=revision, key=door.key(Scope.WRITE)
        ).json()
        assert (answer["revision"], answer["stage"]) == ("v3", 0)
    until(door, waiting, weight=10, moving=False)
    history = door.get(f"{PATH}/{waiting}/events")["events"]
    assert [event["event"] for event in history].count("RolloutRevised") == 1
    for bad in ("", "a\nb", "a" * 257):
        body = {"revision": bad, "reason": "x"}
        answer = door.ask("POST", f"{PATH}/{waiting}/revision", json=body)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")


def test_they_are_listed_in_pages(door: Doorstep, service: str) -> None:
    mine = []
    for _ in range(3):
        mine.append(begun(door, service))
        end(door, mine[-1])
    first = door.get(PATH, params={"limit": 2, "service": service})
    assert [item["id"] for item in first["deployments"]] == [mine[2], mine[1]]
    second = door.get(PATH, params={"limit": 500, "service": service, "before": first["next"]})
    assert second["deployments"][0]["id"] == mine[0]
    assert second["next"] is None
    ended = door.get(PATH, params={"active": False, "limit": 500})["deployments"]
    assert {item["status"] for item in ended} <= {"promoted", "rolled_back", "cancelled"}
    assert door.get(PATH, params={"active": True, "service": service})["deployments"] == []
    assert door.get(PATH, params={"service": "no\x00body"})["deployments"] == []
    assert door.get(PATH, params={"before": "deployment_none"})["deployments"] == []
    for params in ({"limit": 0}, {"limit": 501}, {"active": "maybe"}, {"before": "../x"}):
        door.problem(400, "invalid_request", lambda params=params: door.ask("GET", PATH, params=params))


def test_every_look_is_told_with_its_verdict(door: Doorstep, service: str) -> None:
    waiting = begun(door, service, course=course(interval_seconds=0.1))
    looks = door.until(
        lambda: [
            event
            for event in door.get(f"{PATH}/{waiting}/events", params={"limit": 500})["events"]
            if event["event"] == "CanaryLooked"
        ],
        lambda found: len(found) >= 2,
    )
    look = looks[-1]["details"]["look"]
    assert look["assessment"]["step"] == looks[-1]["details"]["step"] == "hold"
    assert look["counts"] is None
    assert "metrics" in look["doubts"][0]  # the source is named that is not there
    detail = door.get(f"{PATH}/{waiting}")
    assert detail["look"]["weight"] == 10
    later = door.get(f"{PATH}/{waiting}/events", params={"after": looks[0]["version"], "limit": 1})["events"]
    assert [event["version"] for event in later] == [looks[0]["version"] + 1]
    end(door, waiting)


def test_a_stream_tells_all_until_the_end_and_what_was_missed(door: Doorstep, waiting: str) -> None:
    async def followed() -> Any:
        path = f"{PATH}/{waiting}/stream"
        headers = {"Authorization": f"Bearer {key}"}
        following = asyncio.create_task(door._client.get(path, headers=headers))
        await asyncio.sleep(0.7)
        assert not following.done()
        body = {"order": "abort", "reason": "enough"}
        said = await door._client.post(f"{PATH}/{waiting}/words", json=body, headers=headers)
        assert said.status_code == 200
        return await asyncio.wait_for(following, 20)

    key = door.key(Scope.ADMIN)
    answer = door.run(followed())
    assert answer.status_code == 200
    names = [line.removeprefix("event: ") for line in answer.text.splitlines() if line.startswith("event: ")]
    assert names[:2] == ["RolloutBegun", "TrafficShifted"]
    assert names[-1] == "RolloutRolledBack"
    assert "RolloutAborted" in names
    told = streamed(door, waiting)
    assert [event["event"] for event in told] == names
    assert [event["version"] for event in told] == list(range(1, len(told) + 1))
    missed = streamed(door, waiting, last=str(len(told) - 2))
    assert missed == told[-2:]
    assert streamed(door, waiting, last=str(len(told))) == []
    assert streamed(door, waiting, last="") == told
    assert streamed(door, waiting, last="999999999") == []
    for odd in ("-1", "1e3", "abc", "9" * 10, "1\u0661"):
        headers = {"Last-Event-ID": odd.encode()}
        where = f"{PATH}/{waiting}/stream"
        door.problem(
            400,
            "invalid_request",
            lambda where=where, headers=headers: door.ask("GET", where, headers=headers),
        )


@pytest.mark.parametrize("text", ["a\0b", "a\x1b[2Jb", "a\x9b2Jb", "a\x7f"])
def test_control_characters_are_a_problem_with_a_hint(door: Doorstep, service: str, text: str) -> None:
    answer = door.ask("POST", PATH, json=wanted(service, reason=text))
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert "the reason of a deployment may hold no control characters" in answer.json()["detail"]
    assert "Take out NUL" in answer.json()["hint"]
    assert door.ask("POST", PATH, json=wanted(service, revision=text)).status_code == 400
    identifier = begun(door, service, reason="two\nlines")
    order = {"order": "pause", "reason": text}
    for path, body in (("words", order), ("revision", {"revision": "v3", "reason": text})):
        answer = door.ask("POST", f"{PATH}/{identifier}/{path}", json=body)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    end(door, identifier)


def test_half_a_character_is_a_problem(door: Doorstep, service: str) -> None:
    body = json.dumps(wanted(service, reason="a\ud800b"))
    headers = {"Content-Type": "application/json"}
    answer = door.ask("POST", PATH, content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")


def test_the_last_of_a_long_history_is_there_at_once(door: Doorstep, service: str) -> None:
    identifier = begun(door, service)
    for _ in range(30):
        for order in ("pause", "resume"):
            assert tell(door, identifier, order).status_code == 200
    tell(door, identifier, "pause")
    end(door, identifier)
    path = f"{PATH}/{identifier}/events"
    everything = door.get(path, params={"limit": 500})["events"]
    assert len(everything) > 60
    assert [item["version"] for item in everything] == list(range(1, len(everything) + 1))
    for limit in (1, 7, 500):
        assert door.get(path, params={"newest": True, "limit": limit})["events"] == everything[-limit:]
    after = len(everything) - 3
    assert door.get(path, params={"newest": True, "limit": 2, "after": after})["events"] == everything[-2:]
    assert door.get(path, params={"newest": True, "limit": 9, "after": after})["events"] == everything[-3:]
    assert door.get(path, params={"newest": True, "after": len(everything)})["events"] == []


INTERVALS = [{"weight": 20, "min_seconds": 36000, "max_seconds": 36000}]


def test_kayentas_judge_is_asked_for_with_its_thresholds(door: Doorstep, service: str) -> None:
    analysis = {**PATIENT, "mode": "kayenta", "kayenta": {"passing": 90, "marginal": 60}}
    identifier = begun(door, service, course=course(stages=INTERVALS, analysis=analysis))
    told = shown(door, identifier)["course"]["analysis"]
    assert (told["mode"], told["kayenta"]) == ("kayenta", {"passing": 90.0, "marginal": 60.0})
    end(door, identifier)
    for wrong in (
        {"analysis": {**analysis, "kayenta": {"passing": 50, "marginal": 60}}},
        {"stages": [{"weight": 20}]},
        {"stages": [{"weight": 20, "min_seconds": 36000, "max_seconds": 900}]},
    ):
        asked = wanted(service, course=course(**{"stages": INTERVALS, "analysis": analysis, **wrong}))
        door.problem(400, "invalid_request", lambda asked=asked: door.ask("POST", PATH, json=asked))
    for malformed in ({"mode": "guess"}, {"kayenta": {"passing": 101}}, {"kayenta": {"pass": 95}}):
        asked = wanted(service, course=course(stages=INTERVALS, analysis={**analysis, **malformed}))
        answer = door.ask("POST", PATH, json=asked)
        assert answer.status_code in {400, 422}, answer.text


CALIBRATION = {"stages": [{"weight": 50, "min_seconds": 900, "max_seconds": 1800}], "interval_seconds": 30}


def test_a_calibration_is_asked_for_as_any_other(door: Doorstep, service: str) -> None:
    identifier = begun(door, service, course=course(**CALIBRATION, calibrates=True))
    found = until(door, identifier, weight=50, moving=False)
    assert found["course"]["calibrates"] is True
    assert (found["noise"], found["learned"]) == ("learns the noise of this service", None)
    for order in ("step", "promote"):
        door.problem(400, "invalid_request", lambda order=order: tell(door, identifier, order))
    revised = {"revision": "v3", "reason": "mended"}
    door.problem(
        400,
        "invalid_request",
        lambda: door.ask("POST", f"{PATH}/{identifier}/revision", json=revised),
    )
    end(door, identifier)


@pytest.mark.parametrize(
    "wrong",
    [
        {"stages": HAND_LED},
        {"stages": [{"weight": 50, "min_seconds": 60}]},
        {"stages": [{"weight": 100, "min_seconds": 900}]},
        {"interval_seconds": 60},
        {"auto_rollback": False},
    ],
)
def test_a_calibration_that_could_teach_nothing_is_refused(
    door: Doorstep, service: str, wrong: dict[str, Any]
) -> None:
    asked = wanted(service, course=course(**{**CALIBRATION, "calibrates": True, **wrong}))
    door.problem(400, "invalid_request", lambda: door.ask("POST", PATH, json=asked))


def test_a_rollout_says_what_noise_it_goes_by(door: Doorstep, service: str) -> None:
    identifier = begun(door, service)
    assert "no noise was ever learned" in shown(door, identifier)["noise"]
    end(door, identifier)
    identifier = begun(door, service, course=course(learned_noise=False))
    assert "as the course says" in shown(door, identifier)["noise"]
    end(door, identifier)
