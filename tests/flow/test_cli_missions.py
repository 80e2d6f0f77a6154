"""Missions and benchmarks from the command line, against a real server in a process of its own."""

import json

from serving import Server


def shown(server: Server, *arguments: str) -> str:
    done = server.run(*arguments)
    assert done.exit_code == 0, done.stderr
    assert max(map(len, done.stdout.splitlines()), default=0) <= 80
    return done.stdout


def test_a_mission_from_its_beginning_to_its_end(server: Server) -> None:
    assert shown(server, "missions", "list") == "There are no missions.\n"
    incident = server.open(id="mission-1", type="MissionOdd")
    server.wait_for(incident, "escalated")
    name = "Calm \x1b[31mthe shop".replace("\x1b", "")
    arguments = ["missions", "create", name, "--goal", "no errors", "--once", "sale-1", "--json"]
    made = json.loads(shown(server, *arguments))
    assert json.loads(shown(server, *arguments)) == made
    mission = made["id"]
    added = shown(server, "missions", "add", mission, "--incident", incident, "--reason", "same cause")
    assert f"{mission} open, 1 member:" in added
    screen = shown(server, "missions", "show", mission)
    assert "0 %, 0 of 1 pieces of work" in screen
    assert "people" in screen
    assert mission in shown(server, "missions", "list", "--status", "open")
    removed = shown(server, "missions", "remove", mission, "--incident", incident, "--reason", "mixed up")
    assert "0 members" in removed
    assert "closed" in shown(server, "missions", "close", mission, "--reason", "over")
    refused = server.run("missions", "add", mission, "--incident", incident, "--reason", "again")
    assert refused.exit_code == 1
    assert "was closed" in refused.stderr
    unknown = server.run("missions", "show", "../../etc")
    assert unknown.exit_code == 1


def test_a_service_without_benchmarks_says_so(server: Server) -> None:
    assert shown(server, "benchmarks", "show", "shop") == "shop declares no benchmarks.\n"
    for arguments in (("run", "shop"), ("baseline", "shop", "--reason", "quiet")):
        refused = server.run("benchmarks", *arguments)
        assert refused.exit_code == 1
        assert "declares no" in refused.stderr
    assert "not in the catalogue" in server.run("benchmarks", "show", "bank").stderr
