"""Canonical JSON and its hash beside orjson alone and the reference implementation; RFC 6902 diffs; in one run."""

import hashlib
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import orjson
import rfc8785

from penelope.kit.canonical import canonical
from penelope.ledger.patch import diff

ROUNDS, CALLS = 31, 500
GOAL = 0.4

INCIDENT: dict[str, Any] = {
    "id": "inc_01J9ZQ4W7S8XG5T2M3K6B0N1VD", "service": "checkout", "environment": "production",
    "status": "deciding", "severity": "critical", "title": "p99 latency above 800 ms on checkout",
    "fingerprint": hashlib.sha256(b"checkout").hexdigest(), "source": "alertmanager", "signals": 3,
    "opened_at": "2026-11-03T10:15:31.123456Z", "started_at": "2026-11-03T10:14:55.000000Z",
    "labels": {
        "alertname": "HighLatency", "cluster": "eu-west-1", "namespace": "shop", "severity": "critical",
        "pod": "checkout-5d9c7f7b8-abcde", "team": "payments",
    },
    "annotations": {"summary": "p99 latency is 1.24 s, its limit 0.8 s", "runbook": "checkout/latency"},
    "metrics": {"p99_seconds": 1.24, "error_rate": 0.0213, "requests": 412.7, "saturation": 0.83},
    "blast_radius": {"users": 1240, "regions": ["eu-west-1"], "dependents": ["cart", "payments", "orders"]},
    "deduplicated": 12, "owner": None, "acknowledged": False,
}  # fmt: skip
DECISION: dict[str, Any] = {
    "id": "dec_01J9ZQ4W7S8XG5T2M3K6B0N1VE", "incident": INCIDENT["id"], "verdict": "approve",
    "risk": 0.27, "confidence": 0.914, "playbook": "restart-unhealthy-pods", "playbook_version": 7,
    "contributions": [
        {"factor": factor, "weight": weight, "value": value, "share": share, "why": why}
        for factor, weight, value, share, why in (
            ("blast_radius", 0.3, 0.12, 0.036, "one region of four"),
            ("reversibility", 0.25, 0.05, 0.0125, "the action can be taken back"),
            ("precedent", 0.2, 0.31, 0.062, "9 of 13 like it went well"),
            ("time_of_day", 0.1, 0.4, 0.04, "office hours"),
            ("change_freeze", 0.15, 0.77, 0.1155, "the freeze ends in two hours"),
        )
    ],
    "precedents": ["dec_01J8AAAA", "dec_01J8BBBB", "dec_01J8CCCC"],
    "thresholds": {"approve": 0.35, "ask": 0.7},
    "policy": {"name": "production", "guards": ["not frozen", "owner known", "budget left"]},
    "decided_at": "2026-11-03T10:15:32.654321Z", "override": None, "fail_closed": False,
}  # fmt: skip
HEADER: dict[str, Any] = {
    "schema": 1, "unit": DECISION["id"], "version": 3, "kind": "decision", "incident": INCIDENT["id"],
    "event": "decision.made", "status_before": "open", "status_after": "approved", "instance": "run_01J9ZQ",
    "state_before": "a" * 64, "state_after": "b" * 64, "commitment": "c" * 64, "previous_hash": "d" * 64,
    "recorded_at": "2026-11-03T10:15:32.654321Z", "interaction_before": None, "interaction_after": "queue",
}  # fmt: skip
LEDGER = {"incident": INCIDENT, "decision": DECISION, "header": HEADER}
UNUSUAL = {
    "whole floats": {**DECISION, "risk": 1.0, "confidence": 0.0},
    "accents": {**DECISION, "reason": "ein Fehler in Zürich, geprüft"},
    "emoji": {**DECISION, "reason": "\U0001f525"},
}

Writer = Callable[[Any], bytes]


def sorted_by_orjson(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def hashed(write: Writer, documents: list[Any]) -> float:
    """Microseconds a document to write and hash it."""
    began = time.perf_counter()
    for _ in range(CALLS):
        for document in documents:
            hashlib.sha256(write(document)).digest()
    return (time.perf_counter() - began) / CALLS / len(documents) * 1e6


def compared(writers: list[Writer], documents: list[Any]) -> list[float]:
    """The median of each writer, in microseconds a document; the rounds take turns, so that all meet the same machine."""
    rounds = [[hashed(write, documents) for write in writers] for _ in range(ROUNDS)]
    return [median(times) for times in zip(*rounds, strict=True)]


def diffed(before: Any, after: Any) -> float:
    """The median in microseconds of a diff."""
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(CALLS):
            diff(before, after)
        times.append((time.perf_counter() - began) / CALLS * 1e6)
    return median(times)


def read_back(document: Any, **changes: Any) -> Any:
    """The document as a store gives it back, sharing nothing, and changed."""
    return {**orjson.loads(orjson.dumps(document)), **changes}


def main() -> int:
    print("written and hashed        orjson sorted   canonical          ratio")
    for name, document in (LEDGER | UNUSUAL).items():
        raw, ours = compared([sorted_by_orjson, canonical], [document])
        print(f"  {name:<24}{raw:10.2f} us {ours:10.2f} us {raw / ours:14.2f}")
    raw, ours, reference = compared([sorted_by_orjson, canonical, rfc8785.dumps], list(LEDGER.values()))
    print(f"  {'the three of a ledger':<24}{raw:10.2f} us {ours:10.2f} us {raw / ours:14.2f}")
    print(f"rate                      {1e6 / ours:.0f}/s, {reference / ours:.0f} times the reference's")

    worse = [
        {**entry, "share": 0.5} if entry["factor"] == "precedent" else entry
        for entry in DECISION["contributions"]
    ]
    changed = {
        "incident, two members": (
            INCIDENT,
            read_back(INCIDENT, severity="low", labels={**INCIDENT["labels"], "pod": "x"}),
        ),
        "decision, two members": (DECISION, read_back(DECISION, risk=0.3, verdict="ask")),
        "decision, in a list": (
            DECISION,
            read_back(DECISION, risk=0.3, contributions=read_back({"": worse})[""]),
        ),
        "decision, nothing": (DECISION, read_back(DECISION)),
        "header, one member": (HEADER, read_back(HEADER, version=4)),
    }
    for name, (before, after) in changed.items():
        print(f"diff: {name:<24}{diffed(before, after):6.2f} us for {len(diff(before, after))} operations")
    good = raw / ours >= GOAL
    print(
        f"at least {GOAL} of orjson's rate" if good else f"NOT AS PROMISED: {raw / ours:.2f} of orjson's rate"
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
