"""The demo's fourth scenario: a playbook that helps for some seconds, again and again, until a breaker halts it."""

import time
from dataclasses import dataclass, field
from datetime import datetime

from rich.live import Live

from shop.alerts import Rhythm
from shop.release import GOOD, TIRING
from shop.stage import PATIENCE_SECONDS, Stage, approve, calm, incidents, news, pulse
from shop.watch import Watch

_ALERTS = 5
_FAILURES = 3
_SERVICE = "service:shop"

# The alert must have ended before the instance tires again, or it would be one alert all along.
_QUICK = Rhythm(
    interval_seconds=0.5, window_seconds=2.0, for_seconds=0.5, resolve_seconds=1.5, repeat_seconds=5.0
)

_ENDINGS = {"IncidentHealed": "healed", "IncidentEscalated": "escalated"}


@dataclass(kw_only=True)
class Runaway:
    """How five alerts about one fault ended, in order; `reasons` are those of the ones that people were called to,
    `asked` are the incidents of which a person was asked before anything was done.
    """

    incidents: list[str] = field(default_factory=list)
    endings: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    breaker: str = ""
    failures: int = 0
    restarts: int = 0
    decide: float | None = None
    lost: int = 0

    @property
    def good(self) -> bool:
        """Three times it was let try, the last time only by a person's word, for it had lost what trust it had; after
        three failures nothing was touched any more, whatever fired.
        """
        calls = [ending == "escalated" for ending in self.endings]
        return (
            calls == [False] * _FAILURES + [True] * (_ALERTS - _FAILURES)
            and all(reason.startswith(f"halt: {_SERVICE} is halted") for reason in self.reasons)
            and self.asked == self.incidents[_FAILURES - 1 : _FAILURES]
            and (self.breaker, self.failures, self.restarts) == ("open", _FAILURES, _FAILURES)
        )

    @property
    def proof(self) -> str:
        return (
            f"{_SERVICE} is {self.breaker} after {self.failures} failures; Penelope restarted instance b "
            f"{self.restarts} times, {len(self.asked)} of them by a person's word, and not once for alerts "
            f"{_FAILURES + 1} and {_ALERTS}"
        )


def run_away(stage: Stage) -> Runaway:
    """Rolls the tiring release out to one instance and follows the alerts about it; then people mend it."""
    title = f"Release {TIRING.name} tires: a restart helps for seconds, so restarting never ends by itself"
    stage.console.rule(f"[bold]4. {title}", align="left", style="dim")
    stage.watch.stop()
    stage.watch = Watch(
        stage.world.instance_urls,
        f"{stage.penelope.url}/api/v1/alertmanager",
        stage.penelope.key,
        _QUICK,
    )
    stage.watch.start()
    result = Runaway()
    known = {item["id"] for item in incidents(stage)}
    lost_before = stage.load.lost
    stage.world.deploy(TIRING.name, ("b",))
    began = len(stage.world.starts())
    by_hand = 0
    with Live(console=stage.console, refresh_per_second=8, transient=True) as live:
        while len(result.incidents) < _ALERTS and _next_alert(stage, live, result, known):
            ended_well = result.endings[-1] == "healed"
            if not ended_well and len(result.incidents) < _ALERTS:
                stage.console.print("  [dim]a person restarts it by hand, and it tires again[/]")
                stage.world.restart("b")
                by_hand += 1
        result.restarts = len(stage.world.starts()) - began - by_hand
        result.breaker, result.failures = _breaker(stage)
        _mend(stage)
        calm(stage, live)
    result.lost = stage.load.lost - lost_before
    stage.console.print(f"  [dim]at the shop:[/] {result.proof}\n")
    return result


def _next_alert(stage: Stage, live: Live, result: Runaway, known: set[str]) -> bool:
    """Follows the next incident to its end; False when none comes, or it does not end."""
    deadline, incident = time.monotonic() + PATIENCE_SECONDS, ""
    while time.monotonic() < deadline:
        live.update(pulse(stage))
        if not incident:
            incident = next((item["id"] for item in incidents(stage) if item["id"] not in known), "")
            if incident:
                known.add(incident)
                stage.console.print(f"  [bold]alert {len(result.incidents) + 1}[/]")
        elif _ended(stage, incident, result):
            return True
        time.sleep(0.1)
    return False


def _ended(stage: Stage, incident: str, result: Runaway) -> bool:
    entries = news(stage, incident)
    if incident not in result.asked and any(entry["event"] == "ApprovalRequested" for entry in entries):
        result.asked.append(incident)
        approve(stage, incident, "one more restart may do")
    found = next((entry for entry in entries if entry["event"] in _ENDINGS), None)
    if found is None:
        return False
    result.incidents.append(incident)
    result.endings.append(_ENDINGS[found["event"]])
    if result.endings[-1] == "escalated":
        result.reasons.append(found["reason"])
    if result.decide is None:
        at = {entry["event"]: datetime.fromisoformat(entry["recorded_at"]) for entry in reversed(entries)}
        result.decide = (at["DecisionMade"] - at["IncidentOpened"]).total_seconds()
    return True


def _breaker(stage: Stage) -> tuple[str, int]:
    """The state of the shop's breaker, and how many failures it has counted."""
    found = {item["scope"]: item for item in stage.get("/halts")["halts"]}.get(_SERVICE)
    return ("closed", 0) if found is None else (found["state"], len(found["failures"]))


def _mend(stage: Stage) -> None:
    """What people do who were called: the release is taken back, and healing may go on."""
    stage.console.print("  [dim]people take the release back and resume healing through the API[/]")
    stage.world.deploy(GOOD.name, ("b",))
    answer = stage.client.post(
        f"/api/v1/halts/{_SERVICE}/reset", json={"reason": f"release {TIRING.name} was taken back"}
    )
    answer.raise_for_status()
