"""Weights of a weighted service in a file that Traefik's file provider watches."""

import asyncio
import contextlib
import io
import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import cast
from urllib.parse import quote

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from penelope.adapters.outbound import Call, ask
from penelope.adapters.routers.arms import require_fitting, router_of
from penelope.domain.service import Service
from penelope.errors import InvalidCatalogue, Unavailable
from penelope.kit.canonical import Json
from penelope.kit.codec import to_data

_POLL_SECONDS = 0.02


class TraefikOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of a router: the watched file (YAML or JSON), the weighted service's name in it, and the URL of
    Traefik's API, which says what is in force; without it the file is believed.
    """

    file: str
    service: str
    api: str | None = None


class _Entry(msgspec.Struct, frozen=True):
    name: str
    weight: int = 1


class _Weighted(msgspec.Struct, frozen=True):
    services: list[_Entry]


class _Shown(msgspec.Struct, frozen=True):
    """What Traefik's API says of a service."""

    weighted: _Weighted


class TraefikRouter:
    """Writes weights into the file and waits until Traefik's API shows them, for `deadline_seconds` at most.

    Set ``providersThrottleDuration`` to 10 ms in Traefik: its default makes each change wait two seconds.
    """

    def __init__(self, deadline_seconds: float = 5.0) -> None:
        self._deadline_seconds = deadline_seconds
        self._writing = threading.Lock()

    async def weights(self, service: Service) -> Mapping[str, int]:
        options = _options(service)
        if options.api is not None:
            weights = await _shown(self._call(options.api, options.service))
        else:
            entries = await asyncio.to_thread(_read_entries, options)
            weights = {str(entry["name"]): _weight(entry) for entry in entries}
        return _in_percent(_by_arm(service, weights))

    async def set_weights(self, service: Service, weights: Mapping[str, int]) -> None:
        require_fitting(service, weights)
        options = _options(service)
        wanted = {router_of(service).arms[arm]: weight for arm, weight in weights.items()}
        await asyncio.to_thread(self._write, options, wanted)
        if options.api is not None:
            await self._until_shown(options.api, options.service, wanted)

    def _write(self, options: TraefikOptions, wanted: Mapping[str, int]) -> None:
        with self._writing:
            _write(options, wanted)

    async def _until_shown(self, api: str, service: str, wanted: Mapping[str, int]) -> None:
        call = self._call(api, service)
        try:
            async with asyncio.timeout(self._deadline_seconds):
                while True:
                    if wanted.items() <= (await _shown(call)).items():
                        return
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            raise Unavailable(
                f"Traefik has not taken over the weights within {self._deadline_seconds:g} s",
                hint="Check that Traefik watches the file and that its providersThrottleDuration is short.",
            ) from None

    def _call(self, api: str, service: str) -> Call:
        url = f"{api.rstrip('/')}/api/http/services/{quote(service, safe='')}@file"
        return Call(what="Traefik's API", method="GET", url=url, timeout_seconds=self._deadline_seconds)


def _options(service: Service) -> TraefikOptions:
    try:
        return msgspec.convert(to_data(router_of(service).options), TraefikOptions)
    except msgspec.ValidationError as error:
        raise InvalidCatalogue(f"the router options of {service.name!r} do not fit: {error}") from None


def _by_arm(service: Service, weights: Mapping[str, int]) -> dict[str, int]:
    """Weights by the names of Traefik's services, as weights by arm."""
    arms = router_of(service).arms
    missing = set(arms.values()) - set(weights)
    if missing:
        raise Unavailable(f"the weighted service does not list {', '.join(sorted(missing))}")
    return {arm: weights[name] for arm, name in arms.items()}


def _in_percent(weights: Mapping[str, int]) -> dict[str, int]:
    """Whole percentages that add up to 100; what rounding leaves over goes to the heaviest arm."""
    total = sum(weights.values())
    if total <= 0:
        raise Unavailable("all weights are 0: no arm gets traffic")
    percent = {arm: 100 * weight // total for arm, weight in weights.items()}
    percent[max(percent, key=lambda arm: weights[arm])] += 100 - sum(percent.values())
    return percent


def _weight(entry: Mapping[str, Json]) -> int:
    weight = entry.get("weight", 1)
    if not isinstance(weight, int) or weight < 0:
        raise Unavailable("a weight in Traefik's file is not a whole number")
    return weight


def _read_entries(options: TraefikOptions) -> list[dict[str, Json]]:
    return _entries(_load(Path(options.file)), options.service)


def _load(file: Path) -> Json:
    try:
        text = file.read_text(encoding="utf-8")
        return json.loads(text) if file.suffix == ".json" else _yaml().load(text)
    except OSError as error:
        raise Unavailable(f"Traefik's file cannot be read: {error.strerror}") from error
    except (ValueError, YAMLError) as error:
        raise Unavailable("Traefik's file does not parse") from error


def _entries(document: Json, service: str) -> list[dict[str, Json]]:
    try:
        entries = document["http"]["services"][service]["weighted"]["services"]
        if all(isinstance(entry["name"], str) for entry in entries):
            return cast("list[dict[str, Json]]", entries)
    except (LookupError, TypeError):
        pass
    raise Unavailable(f"Traefik's file holds no weighted service {service!r}")


def _write(options: TraefikOptions, wanted: Mapping[str, int]) -> None:
    """Changes the entries of one weighted service in place; all else in the file stays, comments too."""
    file = Path(options.file).resolve()
    document = _load(file)
    entries = _entries(document, options.service)
    missing = set(wanted) - {entry["name"] for entry in entries}
    if missing:
        raise Unavailable(f"the weighted service does not list {', '.join(sorted(missing))}")
    if all(entry.get("weight") == wanted[entry["name"]] for entry in entries if entry["name"] in wanted):
        return
    for entry in entries:
        if entry["name"] in wanted:
            entry["weight"] = wanted[entry["name"]]
    try:
        _replace(file, _dump(document, file))
    except OSError as error:
        raise Unavailable(f"Traefik's file cannot be written: {error.strerror}") from error


def _yaml() -> YAML:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    return yaml


def _dump(document: Json, file: Path) -> str:
    if file.suffix == ".json":
        return json.dumps(document, indent=2) + "\n"
    text = io.StringIO()
    _yaml().dump(document, text)
    return text.getvalue()


def _replace(file: Path, text: str) -> None:
    # Traefik reads every .yml, .yaml and .toml of a watched folder; this name ends in neither.
    aside = file.with_name(f".{file.name}.next")
    with aside.open("w", encoding="utf-8") as stream:
        os.fchmod(stream.fileno(), file.stat().st_mode & 0o777)
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    aside.replace(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


async def _shown(call: Call) -> dict[str, int]:
    answer = await ask(call)
    if answer.status != 200:
        return {}
    with contextlib.suppress(msgspec.DecodeError):
        shown = msgspec.json.decode(answer.body, type=_Shown)
        return {entry.name: entry.weight for entry in shown.weighted.services}
    return {}
