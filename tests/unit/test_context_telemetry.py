"""Decisions about access and the stores' breakers are counted."""

from datetime import UTC, datetime

from penelope.domain.access import Access, Masking
from penelope.domain.degradation import DegradationMode, Store
from penelope.kit.call_breaker import BreakerState
from penelope.kit.guard import GuardState
from penelope.telemetry import Telemetry


def lines(telemetry: Telemetry) -> set[str]:
    page = telemetry.render().decode().splitlines()
    return {line for line in page if line.startswith("ecp_") and not line.endswith(" 0.0")}


def test_decisions_are_counted_by_what_was_said() -> None:
    telemetry = Telemetry()
    telemetry.access_decided(
        [
            Access(allow=True),
            Access(allow=True, masks={"a": Masking.HASH}),
            Access(allow=False),
            Access(allow=False, failed="late"),
            Access(allow=False, failed="late"),
        ]
    )
    assert lines(telemetry) == {
        'ecp_policy_decisions_total{outcome="allowed"} 1.0',
        'ecp_policy_decisions_total{outcome="masked"} 1.0',
        'ecp_policy_decisions_total{outcome="denied"} 1.0',
        'ecp_policy_decisions_total{outcome="failed"} 2.0',
    }


def test_a_store_stands_in_one_way_at_a_time() -> None:
    telemetry = Telemetry()
    for state, mode in (
        (BreakerState.OPEN, DegradationMode.REGISTRY_ONLY),
        (BreakerState.HALF_OPEN, DegradationMode.FULL),
    ):
        guard = GuardState(
            name="graph",
            breaker=state,
            since=datetime(2026, 11, 21, tzinfo=UTC),
            failures=5,
            running=0,
            waiting=0,
        )
        telemetry.stores_seen({Store.GRAPH: guard}, {Store.GRAPH: mode})
    assert lines(telemetry) == {
        'ecp_breaker_state{store="graph"} 1.0',
        'ecp_degradation{mode="full",store="graph"} 1.0',
    }
