"""Policies of access on an OPA server, by its REST API: https://www.openpolicyagent.org/docs/rest-api#data-api."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import orjson

from penelope.adapters.outbound import Call, ask
from penelope.adapters.policy.access_document import access_of, batches, denied, document
from penelope.adapters.policy.context_rego import said
from penelope.domain.access import Access, AccessQuestion
from penelope.errors import DependencyError, PenelopeError, Unavailable
from penelope.kit.canonical import Json
from penelope.kit.guard import Guard

_PATH = "/v1/data/penelope/context_batch/decisions"
_AT_ONCE, _COLUMNS_AT_ONCE = 100, 20_000
_MOST_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class OpaServer:
    """Where the server is. `token` gives the bearer token of each call; `ca` is as in `Call`."""

    url: str
    timeout_seconds: float = 1.0
    token: Callable[[], str] | None = None
    ca: str = ""


class OpaGovernor:
    """Fulfils Governor. All questions are answered within the server's time, or those left are denied.

    Nothing is remembered: policies of a server change without our knowing, and while it is down all is denied.
    """

    def __init__(self, server: OpaServer, guard: Guard) -> None:
        self._server = server
        self._guard = guard

    async def judge(self, questions: Sequence[AccessQuestion]) -> Sequence[Access]:
        deadline = time.monotonic() + self._server.timeout_seconds
        answers: list[Access] = []
        for batch in batches(questions, _AT_ONCE, _COLUMNS_AT_ONCE):
            answers += await self._judged(batch, deadline)
        return answers

    async def _judged(self, questions: Sequence[AccessQuestion], deadline: float) -> list[Access]:
        answers: dict[int, Access] = {}
        given: dict[int, Json] = {}
        for index, question in enumerate(questions):
            try:
                given[index] = document(question)
            except (ValueError, AttributeError, TypeError) as error:
                answers[index] = denied(str(error) if type(error) is ValueError else "it is no question")
        if given:
            try:
                found = await self._guard.call(lambda: self._asked(list(given.values())), deadline)
            except PenelopeError as error:
                answers |= dict.fromkeys(given, denied(error.message))
            except Exception as error:  # noqa: BLE001 - whatever it is, it has not said that all is well
                answers |= dict.fromkeys(given, denied(f"the policy engine broke ({type(error).__name__})"))
            else:
                for index, answer in zip(given, found, strict=True):
                    answers[index] = access_of(answer, questions[index].asset.columns.keys())
        return [answers[index] for index in range(len(questions))]

    async def _asked(self, documents: Sequence[Json]) -> Sequence[Json]:
        headers = {"Content-Type": "application/json"}
        if self._server.token is not None:
            headers["Authorization"] = f"Bearer {self._server.token()}"
        answer = await ask(
            Call(
                what="the policy engine",
                method="POST",
                url=self._server.url.rstrip("/") + _PATH,
                headers=headers,
                content=orjson.dumps({"input": {"questions": list(documents)}}),
                timeout_seconds=self._server.timeout_seconds,
                body_limit_bytes=_MOST_BYTES,
                ca=self._server.ca,
            )
        )
        if answer.status != 200:
            kind = Unavailable if answer.status >= 500 or answer.status == 429 else DependencyError
            raise kind(f"the policy engine answers with status {answer.status}")
        try:
            body = orjson.loads(answer.body)
        except ValueError:
            raise DependencyError("the policy engine answers with what is no JSON") from None
        if not isinstance(body, dict) or not isinstance(body.get("result"), dict):
            # OPA leaves `result` out where a document is undefined.
            raise DependencyError(
                "the policy engine does not know penelope.context_batch, or it says nothing"
            )
        return said(body["result"], len(documents))
