"""What people see of a request, from a real server: what its plan would change, before anything does."""

import json
from urllib.parse import quote

import httpx
from serving import Server


def test_a_request_shows_what_each_step_would_change(server: Server) -> None:
    incident = server.open(
        id="stuck-1", type="Stuck", data={"severity": "critical", "labels": {"stuck": "yes"}}
    )
    server.wait_for(incident, "awaiting_approval")
    page = json.loads(server.run("approvals", "list", "--status", "pending", "--json").stdout)
    (found,) = [item for item in page["approvals"] if item["incident"] == incident]
    shown = server.run("approvals", "show", found["id"]).stdout
    assert "would: POST /free would be sent" in shown
    assert "previewed at 20" in shown
    answer = httpx.get(
        f"{server.address}/api/v1/approvals/{quote(found['id'], safe='')}",
        headers={"Authorization": f"Bearer {server.key}"},
        trust_env=False,
    ).json()
    (step,) = answer["brief"]["steps"]
    assert (step["preview"], step["not_previewed"]) == ("POST /free would be sent", "")
    assert answer["brief"]["twin"].startswith("not possible in ")
    told = server.run("show", incident).stdout
    assert "1 of 1 actions of free-the-lock previewed" in told
    assert "Free it: POST /free would be sent" in told
    assert "not possible on the twin" in told
