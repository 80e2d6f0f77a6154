"""What the gate costs: all its rules over a realistic plan, and expressions a second, beside the bare libraries."""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import regorus
from _ground import percentile
from cel_expr_python import cel

from penelope.adapters.calendars.shelf import Shelf
from penelope.adapters.policy.cel import EXAMPLE, Expressions, compiled
from penelope.bootstrap.parts import rules_of
from penelope.domain.gate import Ruling
from penelope.domain.outcome import PlaybookRecord
from penelope.kit.clock import SystemClock
from penelope.rooms.gate.rules import Request
from penelope.rooms.gate.run import gate
from penelope.settings import Settings
from penelope.testing.gate import passage, planned

POLICIES = Path(__file__).resolve().parents[1] / "policies"
NOW = datetime(2026, 11, 18, 10, tzinfo=UTC)
ROUNDS = 3000
GOAL_MS, GOAL_RATE = 5.0, 200_000

EXPRESSIONS = (
    "service.tier <= 1 && decision.risk > 0.3",
    "plan.actions.exists(a, a.adapter == 'process' && a.tier > 2)",
    "incident.severity == 'critical' && record.failures > record.successes",
    "now.getDayOfWeek('Europe/Berlin') in [0, 6] && plan.tier >= 3",
    "'team' in incident.labels && incident.labels.team == 'payments'",
    "plan.playbook.startsWith('migrate') && !decision.needs_approval",
    "plan.actions.size() > 10",
    "service.name in ['db', 'auth'] && plan.tier > 1",
    "decision.confidence < 0.6 && service.tier == 1",
    "record.recent_actions > 5 || record.recent_failures > 2",
)


def request(number: int = 0) -> Request:
    """A plan of six actions with the parameters of the shipped playbooks; `number` makes each one new."""
    params = {"method": "POST", "path": "/admin/reload", "probe_path": "/admin/operations/{key}"}
    plan = planned(
        *(
            {"name": f"Reload {index}", "params": {**params, "commit": f"{number:08x}{index}"}}
            for index in range(6)
        )
    )
    healed = NOW - timedelta(minutes=30)
    record = PlaybookRecord(playbook="fix", service="shop", successes=8, changed_at=healed, healed_at=healed)
    return replace(passage(plan, NOW), record=record)


def timed(work: Callable[[int], object], rounds: int = ROUNDS) -> list[float]:
    """Milliseconds of processor time of each round: the gate waits for nothing, and others use the machine too."""
    found = []
    for number in range(rounds):
        began = time.thread_time()
        work(number)
        found.append((time.thread_time() - began) * 1000)
    return found


def rate(work: Callable[[], object], each: int) -> float:
    """How many a second of processor time, the median of five runs."""
    found = []
    for _ in range(5):
        began = time.thread_time()
        for _ in range(4000):
            work()
        found.append(4000 * each / (time.thread_time() - began))
    return sorted(found)[2]


def whole_gate() -> bool:
    settings = Settings.model_validate({"policy": {"paths": [POLICIES], "rego": [POLICIES]}})
    rules = rules_of(settings, Shelf(None, Path("unused"), SystemClock()))
    requests = [request(number) for number in range(ROUNDS)]
    assert gate(requests[0], rules).ruling is Ruling.PASS, gate(requests[0], rules)
    fresh = timed(lambda number: gate(requests[number], rules))
    again = timed(lambda _: gate(requests[0], rules))
    engine = regorus.Engine()
    for file in POLICIES.glob("*.rego"):
        engine.add_policy(file.name, file.read_text())
    raw = timed(lambda _: engine.eval_rule_as_json("data.penelope.gate.blast_radius.allow"))
    show("a new plan, CPU ms", fresh)
    show("the same plan again, CPU ms", again)
    show("bare Rego, one rule, CPU ms", raw)
    for rule in rules:
        show(f"  {rule.name}, CPU ms", timed(lambda number, rule=rule: rule.check(requests[number]), 1000))  # type: ignore[misc]  # a loop's rule
    print(f"ratio to one bare Rego rule  {percentile(fresh, 0.5) / percentile(raw, 0.5):.1f} (p50)")
    return percentile(fresh, 0.99) < GOAL_MS


def show(label: str, found: Sequence[float]) -> None:
    print(
        f"{label:28} p50 {percentile(found, 0.5):.3f}  p99 {percentile(found, 0.99):.3f}  max {max(found):.3f}"
    )


def expressions() -> bool:
    made = Expressions([compiled(f"p{n}", Ruling.REFUSE, "no", text) for n, text in enumerate(EXPRESSIONS)])
    ours = rate(lambda: made.objections(EXAMPLE), len(EXPRESSIONS))
    bare = cel.NewEnv(variables={"x": cel.Type.INT}).compile("x > 1 && x < 3")
    facts = {"x": 2}
    raw = rate(lambda: bare.eval(data=facts).value(), 1)
    print(f"expressions, new facts       {ours:,.0f}/s ({len(EXPRESSIONS)} a request)")
    print(f"bare CEL, one small one      {raw:,.0f}/s; ratio {ours / raw:.2f}")
    return ours >= GOAL_RATE


def main() -> int:
    fast, many = whole_gate(), expressions()
    print(f"goal p99 < {GOAL_MS:g} ms: {'kept' if fast else 'MISSED'}")
    print(f"goal {GOAL_RATE:,} expressions/s: {'kept' if many else 'MISSED'}")
    return 0 if fast and many else 1


if __name__ == "__main__":
    sys.exit(main())
