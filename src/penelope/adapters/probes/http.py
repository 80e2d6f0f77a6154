"""How fast, and whether rightly, a page of the service is answered."""

import re
import time
from datetime import datetime
from statistics import median
from typing import Self

import httpx
import msgspec

from penelope.adapters.outbound import Call, ask
from penelope.adapters.probes.installed import Surroundings, read, where
from penelope.domain.benchmark import Measurement, Probe
from penelope.domain.service import Service
from penelope.errors import InvalidCatalogue, Timeout, Unavailable

_MOST_REQUESTS = 100
_BODY_LIMIT_BYTES = 1024 * 1024
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"([!-~]([ -~\t]*[!-~])?)?")
"""RFC 9110, 5.1 and 5.5. What else is written cannot be sent, which would look like a failure of the service."""


class HttpProbeOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`url` and `headers` may hold secrets. `status` is what a right answer has."""

    url: str
    requests: int = 5
    status: int = 200
    headers: dict[str, str] = {}


class HttpProbe:
    """The median time, in seconds, of a few GET requests one after the other, each on a connection of its own.

    One answer of another status, or none, is a failure of the service. A request for which those before it have left
    less time than they took themselves is none: the figure is then that of fewer requests.
    """

    name = "http"

    @classmethod
    def made(cls, _: Surroundings) -> Self:
        return cls()

    @staticmethod
    def check(service: Service, probe: Probe) -> None:
        options = read(HttpProbeOptions, service, probe)
        try:
            url = httpx.URL(options.url)
        except httpx.InvalidURL:
            url = httpx.URL()
        if url.scheme not in {"http", "https"} or not url.host:
            raise InvalidCatalogue(f"{where(service, probe)} needs the option url, an http or https URL")
        if not 1 <= options.requests <= _MOST_REQUESTS:
            raise InvalidCatalogue(f"{where(service, probe)} needs requests from 1 to {_MOST_REQUESTS}")
        if not 100 <= options.status <= 599:
            raise InvalidCatalogue(f"{where(service, probe)} needs a status from 100 to 599")
        if not all(
            _HEADER_NAME.fullmatch(name) and _HEADER_VALUE.fullmatch(value)
            for name, value in options.headers.items()
        ):
            raise InvalidCatalogue(f"{where(service, probe)} has a header that cannot be sent")

    async def measure(self, service: Service, probe: Probe, since: datetime) -> Measurement:  # noqa: ARG002 - a request is of now
        options = read(HttpProbeOptions, service, probe)
        # All requests share the probe's time: one that hangs is a failure, and not a probe that took too long.
        until = time.perf_counter() + probe.timeout_seconds * 0.9
        seconds: list[float] = []
        for _ in range(options.requests):
            began = time.perf_counter()
            if began >= until and seconds:
                break
            call = Call(
                what="its page",
                method="GET",
                url=options.url,
                headers=options.headers,
                timeout_seconds=max(0.01, until - began),
                body_limit_bytes=_BODY_LIMIT_BYTES,
            )
            try:
                answer = await ask(call)
            except (Unavailable, Timeout) as error:
                if isinstance(error, Timeout) and until - began < max(seconds, default=0.0):
                    break
                return Measurement(failed=True, note=f"fails: {error.message}")
            if answer.status != options.status:
                note = f"fails: it answers with status {answer.status}, not {options.status}"
                return Measurement(failed=True, note=note)
            seconds.append(time.perf_counter() - began)
        return Measurement(figure=median(seconds))
