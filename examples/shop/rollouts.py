"""Rollouts over the shop's two instances: what Penelope is told of its traffic, and what is seen of it from outside."""

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from shop.control import ControlPlane, services
from shop.world import INSTANCES, World

STAGES = (10, 25, 50, 100)
_POLL_SECONDS = 0.02
_PATIENCE_SECONDS = 120.0
_MORTAL = Path(__file__).with_name("mortal.py")


def catalogue(world: World, *, counted_by_traefik: bool = True) -> dict[str, Any]:
    """The shop with all that a rollout can use: proof of the live configuration, health checks, and where it is counted.

    Counted by Traefik both arms come from one page, and a dead instance shows as errors; counted by the instances
    themselves it shows as silence.
    """
    document = services(world)
    shop = document["services"]["shop"]
    shop["router"]["options"] |= {"entry_point": world.url, "health_check": {"path": "/health"}}
    if counted_by_traefik:
        options = {
            "url": f"{world.traefik_api}/metrics",
            "arms": {name: f"shop-{name}@file" for name in INSTANCES},
        }
        shop["counts"] = {"source": "traefik", "options": options}
    return document


def course(
    canary: str, control: str, *, manual: bool = False, interval_seconds: float = 0.5, **analysis: Any
) -> dict[str, Any]:
    """A course as the API takes it; `manual` has each stage wait for a word."""
    stages = [{"weight": weight, "manual": manual} for weight in STAGES]
    return {
        "canary": canary,
        "control": control,
        "stages": stages,
        "interval_seconds": interval_seconds,
        "analysis": analysis,
    }


@dataclass(frozen=True, kw_only=True)
class Safe:
    """When Penelope and the proxy agreed on a planned weight after a restart: monotonic seconds, and percent."""

    deployment: str
    serving_at: float
    known_at: float
    weight: int
    status: str


class Rollouts:
    """Begins and follows rollouts through the API of a Penelope that can be told where to die."""

    def __init__(self, world: World, penelope: ControlPlane, *, counted_by_traefik: bool = True) -> None:
        self._world = world
        self._penelope = penelope
        self._doom = penelope.directory / "doom"
        self._client = httpx.Client(timeout=30.0, trust_env=False)
        self.count_by(traefik=counted_by_traefik)

    def count_by(self, *, traefik: bool) -> None:
        """Where requests are counted from the next start of Penelope on."""
        document = catalogue(self._world, counted_by_traefik=traefik)
        self._penelope.services_file.write_text(json.dumps(document), encoding="utf-8")

    def close(self) -> None:
        self._client.close()

    def launch(self, script: Path = _MORTAL) -> None:
        """Starts Penelope by a script that is told the file of her doom; she does not serve yet when this returns."""
        self._doom.write_text("", encoding="utf-8")
        # Without -P the modules of the script's folder would be found before others of the same name.
        self._penelope.start([sys.executable, "-P", str(script), str(self._doom)])

    def await_serving(self) -> None:
        """Until the API answers. Raises RuntimeError where it never does."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline and self._penelope.runs:
            with suppress(httpx.TransportError):
                self._asked("GET", "/deployments?limit=1")
                return
            time.sleep(_POLL_SECONDS)
        raise RuntimeError(f"Penelope does not serve; see {self._penelope.log_file}")

    def die_at(self, boundary: str) -> None:
        """Dooms her to die at a boundary of `shop.mortal`."""
        new = self._doom.with_name("doom.new")
        new.write_text(boundary, encoding="utf-8")
        new.replace(self._doom)

    def await_death(self) -> None:
        """Returns as she dies. Raises RuntimeError where she never meets her doom."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while boundary := self._doom.read_text(encoding="utf-8"):
            if time.monotonic() > deadline:
                raise RuntimeError(f"not met: {boundary}")
            time.sleep(_POLL_SECONDS)

    def start(self, course: Mapping[str, Any], reason: str) -> str:
        """Its id, once it is durable; empty where she died before she answered."""
        wanted = {"service": "shop", "course": course, "reason": reason}
        try:
            return str(self._asked("POST", "/deployments", wanted)["id"])
        except httpx.TransportError:
            return ""

    def say(self, deployment: str, order: str, stage: int | None = None) -> None:
        """Whoever is doomed by what she is told may die before she answers."""
        word = {"order": order, "reason": "as rehearsed"} | ({} if stage is None else {"stage": stage})
        with suppress(httpx.TransportError):
            self._asked("POST", f"/deployments/{deployment}/words", word)

    def shown(self, deployment: str) -> dict[str, Any]:
        found: dict[str, Any] = self._asked("GET", f"/deployments/{deployment}")["deployment"]
        return found

    def events(self, deployment: str) -> list[dict[str, Any]]:
        """Its whole history, the oldest first."""
        found: list[dict[str, Any]] = []
        while page := self._asked("GET", f"/deployments/{deployment}/events?after={len(found)}&limit=500")[
            "events"
        ]:
            found += page
        return found

    def live_weights(self) -> dict[str, int]:
        """What Traefik itself says is in force, by instance."""
        answer = self._client.get(f"{self._world.traefik_api}/api/http/services/shop@file").raise_for_status()
        arms = answer.json()["weighted"]["services"]
        return {arm["name"].partition("@")[0].removeprefix("shop-"): arm.get("weight", 1) for arm in arms}

    def await_weight(self, deployment: str, weight: int) -> dict[str, Any]:
        """Until Penelope says that this weight is in force, or that all is over."""
        return self.until(
            deployment, lambda found: found["weight"] == weight and not found["moving"], f"{weight} %"
        )

    def await_end(self, deployment: str, seconds: float = _PATIENCE_SECONDS) -> dict[str, Any]:
        return self.until(deployment, lambda found: found["ended_at"] is not None, "its end", seconds)

    def until(
        self,
        deployment: str,
        holds: Callable[[dict[str, Any]], bool],
        what: str,
        seconds: float = _PATIENCE_SECONDS,
    ) -> dict[str, Any]:
        """Raises RuntimeError where it does not come so far."""
        deadline = time.monotonic() + seconds
        while not holds(found := self.shown(deployment)):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{deployment} did not reach {what} within {seconds:g} s: {found}")
            time.sleep(_POLL_SECONDS)
        return found

    def latest(self) -> dict[str, Any]:
        """The rollout that changed last."""
        found: dict[str, Any] = self._asked("GET", "/deployments?limit=1")["deployments"][0]
        return found

    def await_safety(self) -> Safe:
        """From a start on until she serves, and until the weight that the rollout which changed last says is in force
        is, and is a planned one.

        A deployment under way that is `moving` says itself that nobody knows, and is not safe yet.
        """
        deadline, serving = time.monotonic() + _PATIENCE_SECONDS, 0.0
        while time.monotonic() < deadline:
            try:
                found = self.latest()
            except httpx.TransportError:
                if not self._penelope.runs:
                    raise RuntimeError(f"Penelope ended; see {self._penelope.log_file}") from None
                time.sleep(_POLL_SECONDS)
                continue
            serving = serving or time.monotonic()
            live = self.live_weights()
            if _agree(found, live):
                return Safe(
                    deployment=found["id"],
                    serving_at=serving,
                    known_at=time.monotonic(),
                    weight=found["weight"],
                    status=found["status"],
                )
            time.sleep(_POLL_SECONDS)
        raise RuntimeError(f"no safe weight after a restart: {self.latest()}, {self.live_weights()}")

    def _asked(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {self._penelope.key}"}
        url = f"{self._penelope.url}/api/v1{path}"
        answer = self._client.request(method, url, json=body, headers=headers)
        if answer.is_error:
            raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json()


def _agree(found: Mapping[str, Any], live: Mapping[str, int]) -> bool:
    canary, control = found["course"]["canary"], found["course"]["control"]
    planned = {0, 100, *(stage["weight"] for stage in found["course"]["stages"])}
    weight = live[canary]
    return (
        not found["moving"]
        and found["weight"] == weight
        and weight in planned
        and live[control] == 100 - weight
    )


def weights_told(events: Sequence[Mapping[str, Any]]) -> list[int]:
    """The weights that a deployment has had, in order, as its history tells them."""
    return [event["details"]["weight"] for event in events if event["event"] == "TrafficShifted"]
