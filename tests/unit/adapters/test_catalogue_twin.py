"""The `twin` of a service in the catalogue."""

from pathlib import Path

import pytest

from penelope.adapters.catalogue.load import load_services
from penelope.domain.service import TwinCheck, TwinReplay, TwinServe, TwinSpec
from penelope.errors import InvalidCatalogue

HEAD = "apiVersion: penelope.dev/v1\nkind: Services\nservices:\n  shop:\n    owner: t\n    tier: 2\n"


def loaded(folder: Path, twin: str) -> TwinSpec | None:
    file = folder / "services.yaml"
    file.write_text(f"{HEAD}{twin}")
    return load_services(file)["shop"].twin


def test_service_without_a_twin_has_none(tmp_path: Path) -> None:
    assert loaded(tmp_path, "") is None


def test_all_of_it_is_read(tmp_path: Path) -> None:
    twin = """    targets: {conf: {adapter: file, options: {root: conf}}}
    twin:
      checks:
        - {name: config, argv: [nginx, -t], timeout: 5s, target: conf}
        - {name: smoke, argv: [./smoke]}
      serve: {argv: [python3, app.py], port: 8080}
      replay: {file: requests.jsonl, headers: [Content-Type], ignore: [/at]}
      read_only: [/opt/app]
      limits: {memory_mib: 64, processes: 8}
"""
    assert loaded(tmp_path, twin) == TwinSpec(
        checks=(
            TwinCheck(name="config", argv=("nginx", "-t"), timeout_seconds=5, target="conf"),
            TwinCheck(name="smoke", argv=("./smoke",), timeout_seconds=30),
        ),
        serve=TwinServe(argv=("python3", "app.py"), port=8080, ready_seconds=10),
        replay=TwinReplay(file=str(tmp_path / "requests.jsonl"), headers=("Content-Type",), ignore=("/at",)),
        read_only=("/opt/app",),
        limits={"memory_mib": 64, "processes": 8},
    )


@pytest.mark.parametrize(
    ("twin", "said"),
    [
        ("{checks: [{name: x, argv: []}]}", "at least 1 item"),
        ('{checks: [{name: x, argv: ["a\\0b"]}]}', "no text may hold"),
        ("{checks: [{name: x, argv: [a], shell: true}]}", "unknown key 'shell'"),
        ("{serve: {argv: [a], port: 80}}", "1024"),
        ("{read_only: [opt]}", "an absolute path"),
        ("{read_only: [/../etc]}", "an absolute path"),
        ("{limits: {memory_mib: 1}}", "16"),
        ("{limits: {seconds: 1}}", "unknown key 'seconds'"),
        ("{replay: {file: x, ignore: [at]}}", "a path such as"),
        ("{replay: {file: x}}", "needs `serve`"),
        ("{checks: [{name: x, argv: [a], target: gone}]}", "the target gone, which it has not"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, twin: str, said: str) -> None:
    with pytest.raises(InvalidCatalogue, match=said):
        loaded(tmp_path, f"    twin: {twin}\n")
