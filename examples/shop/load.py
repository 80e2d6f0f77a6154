"""Customers: a bounded load that keeps its pace however slowly the shop answers, and remembers how it fared."""

import asyncio
import itertools
import math
import threading
import time
from collections import deque
from typing import NamedTuple

import httpx

from shop.measures import INSTANCE_HEADER

_TIMEOUT_SECONDS = 2.0
_MOST_IN_FLIGHT = 200
_MOST_BEHIND_SECONDS = 1.0
_REMEMBERED_SECONDS = 120


class Answer(NamedTuple):
    """One request: the monotonic time of its end, whether it was served, how long it took, and which instance answered.

    `instance` is empty where none did: then it was a proxy, or nobody.
    """

    at: float
    ok: bool
    seconds: float
    instance: str = ""


class Figures(NamedTuple):
    """How a window went; without requests nothing failed and nothing took time."""

    requests: int
    success_ratio: float
    p99_seconds: float


class Load:
    """Sends from a thread of its own: two thirds look at products, one third buys, a few with a coupon.

    `lost` counts answers of 500 and above, transport errors, and requests not sent because too many hung.
    """

    def __init__(
        self,
        url: str,
        rate_per_second: float = 40.0,
        *,
        timeout_seconds: float = _TIMEOUT_SECONDS,
        remembered_seconds: float = _REMEMBERED_SECONDS,
    ) -> None:
        self.sent = 0
        self.ok = 0
        self.lost = 0
        self._url = url
        self._interval = 1.0 / rate_per_second
        self._timeout_seconds = timeout_seconds
        self._answers: deque[Answer] = deque(maxlen=math.ceil(rate_per_second * remembered_seconds))
        self._in_flight = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="load", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Sends no more and returns when every request has its answer."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def answers(self) -> list[Answer]:
        """All that are remembered, in the order of their ends."""
        return list(self._answers.copy())

    def figures(self, window_seconds: float) -> Figures:
        """How the last `window_seconds` went (at most two minutes back)."""
        since = time.monotonic() - window_seconds
        answers = [answer for answer in self._answers.copy() if answer.at >= since]
        if not answers:
            return Figures(0, 1.0, 0.0)
        durations = sorted(answer.seconds for answer in answers)
        p99 = durations[math.ceil(0.99 * len(durations)) - 1]
        return Figures(len(answers), sum(answer.ok for answer in answers) / len(answers), p99)

    async def _run(self) -> None:
        client = httpx.AsyncClient(
            base_url=self._url,
            timeout=self._timeout_seconds,
            limits=httpx.Limits(max_connections=_MOST_IN_FLIGHT),
            trust_env=False,
        )
        async with client, asyncio.TaskGroup() as group:
            due = time.monotonic()
            for number in itertools.count(1):
                await asyncio.sleep(due - time.monotonic())
                if self._stopping.is_set():
                    return
                self._dispatch(group, client, number)
                due = max(due + self._interval, time.monotonic() - _MOST_BEHIND_SECONDS)

    def _dispatch(self, group: asyncio.TaskGroup, client: httpx.AsyncClient, number: int) -> None:
        self.sent += 1
        if self._in_flight >= _MOST_IN_FLIGHT:
            self._remember(ok=False, seconds=self._timeout_seconds)
            return
        self._in_flight += 1
        group.create_task(self._send(client, _request(client, number)))

    async def _send(self, client: httpx.AsyncClient, request: httpx.Request) -> None:
        began, instance = time.monotonic(), ""
        try:
            answer = await client.send(request)
            ok, instance = answer.status_code < 500, answer.headers.get(INSTANCE_HEADER, "")
        except httpx.HTTPError:
            ok = False
        self._in_flight -= 1
        self._remember(ok=ok, seconds=time.monotonic() - began, instance=instance)

    def _remember(self, *, ok: bool, seconds: float, instance: str = "") -> None:
        if ok:
            self.ok += 1
        else:
            self.lost += 1
        self._answers.append(Answer(time.monotonic(), ok, seconds, instance))


def _request(client: httpx.AsyncClient, number: int) -> httpx.Request:
    """The mix is fixed by the number: every third request buys, every 45th with a coupon."""
    if number % 3:
        return client.build_request("GET", "/products")
    basket: dict[str, object] = {"product": "thread", "quantity": 1 + number % 4}
    if number % 45 == 0:
        basket["coupon"] = "ITHACA"
    return client.build_request("POST", "/checkout", json=basket)
