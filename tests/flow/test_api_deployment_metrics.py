"""What the metrics say of rollouts, of those as well that another process began."""

from pathlib import Path

from doorstep import Doorstep, settings
from test_api_deployments import begun, catalogue, tell, until


def test_metrics_show_those_under_way_after_a_restart_as_well(tmp_path: Path) -> None:
    made = settings(tmp_path)
    (tmp_path / "services.yaml").write_text(catalogue("s0", "s1"))
    percentage = "penelope_canary_traffic_percentage"
    with Doorstep(made) as door:
        identifier = begun(door, "s0")
        until(door, identifier, weight=10, moving=False)
        labels = {"service": "s0", "status": "progressing"}
        assert door.metric("penelope_canary_deployments_total", **labels) == 1
    with Doorstep(made) as door:
        door.ask("GET", "/metrics", key=None)
        assert door.metric("penelope_canary_active_deployments", service="s0") == 1
        assert door.metric(percentage, service="s0", deployment_id=identifier) == 10
        tell(door, identifier, "abort")
        until(door, identifier, status="rolled_back")
        page = door.ask("GET", "/metrics", key=None).text
    assert 'penelope_canary_active_deployments{service="s0"} 0.0' in page
    assert f"{percentage}{{" not in page
    assert 'penelope_canary_rollback_total{reason="person",service="s0"} 1.0' in page
    timed = "penelope_canary_promotion_duration_seconds_count"
    assert f'{timed}{{outcome="rolled_back",service="s0"}} 1.0' in page
