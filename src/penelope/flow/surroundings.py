"""Asks the resolver what an incident's surroundings are: as a subject like any other, and never for long."""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Protocol

from penelope.domain.access import Subject
from penelope.domain.concept import LONGEST_CONCEPT, DocumentSearch
from penelope.domain.degradation import Store
from penelope.domain.evidence import Evidence
from penelope.domain.incident import Incident
from penelope.domain.service import Service
from penelope.domain.surroundings import DEPENDENTS, IMPACT, OWNER, RUNBOOKS, UPSTREAM
from penelope.errors import DependencyError, Unavailable
from penelope.flow.enquiry import Enquiry, lacking
from penelope.flow.impact import ask_impact
from penelope.flow.resolving import Resolver
from penelope.rooms.context import around
from penelope.rooms.context.graph_of import service_node

_log = logging.getLogger(__name__)

_CHANGED_WITHIN = timedelta(days=1)
"""A change counts as lately if it was made so long before the incident, or after it began."""

_DEPTH = 4
_MOST_DETAILS = 8
"""Services beyond the catalogue whose tier and owner the graph is asked for, the nearest first."""

_MOST_KEPT = 10_000
_ITS_SHARE = 0.8
"""Of the time, that stores have: they are to fail on their own clocks, so that their breakers hear of it."""


class Incidents(Protocol):
    async def incident(self, identifier: str) -> Incident | None:
        """One incident."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetUp:
    """What there is to be asked. A graph or documents may come while the process runs, so each is asked for anew."""

    graph: Callable[[], Awaitable[bool]]
    documents: Callable[[], Awaitable[bool]]
    figures: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """As whom it is asked, for how long in all (seconds), and over how many minutes figures are taken."""

    subject: Subject
    seconds: float = 2.0
    minutes: int = 60


class ResolvedSurroundings:
    """Fulfils ContextReader. It changes nothing: a crash in between loses no more than the time.

    What leaned on a service when the graph answered last is kept: it stands in where the graph does not answer.
    """

    def __init__(
        self,
        resolver: Resolver,
        incidents: Incidents,
        services: Mapping[str, Service],
        set_up: SetUp,
        manner: Manner,
    ) -> None:
        self._resolver = resolver
        self._incidents = incidents
        self._services = services
        self._set_up = set_up
        self._manner = manner
        self._kept: dict[str, Evidence] = {}

    async def about(self, incident: str, service: Service) -> Sequence[Evidence]:
        look = _Look(
            enquiry=Enquiry(self._resolver, self._manner.subject, self._manner.seconds * _ITS_SHARE),
            service=service,
            end=asyncio.get_running_loop().time() + self._manner.seconds,
        )
        graph, documents = await asyncio.gather(
            self._is_there(self._set_up.graph, look), self._is_there(self._set_up.documents, look)
        )
        if graph or documents:
            look = replace(look, incident=await self._incident(incident, look))
        parts = []
        if graph:
            parts.append(self._graph(look))
        if documents:
            parts.append(self._timed(look, self._documents(look), "documents", RUNBOOKS))
        if self._set_up.figures:
            asked = ask_impact(look.enquiry, service.name, self._manner.minutes)
            parts.append(self._timed(look, asked, "semantic layer", IMPACT))
        return [item for part in await asyncio.gather(*parts) for item in part]

    async def _is_there(self, asked: Callable[[], Awaitable[bool]], look: "_Look") -> bool:
        """What nobody can tell of is asked: its answer says what is wrong."""
        try:
            async with asyncio.timeout_at(look.end):
                return await asked()
        except Exception:  # noqa: BLE001 - a decision must not fail for want of surroundings
            _log.exception("whether there is anything to be asked could not be found out")
            return True

    async def _incident(self, incident: str, look: "_Look") -> Incident | None:
        try:
            async with asyncio.timeout_at(look.end):
                return await self._incidents.incident(incident)
        except Exception:  # noqa: BLE001 - as above
            _log.exception("the incident could not be read")
            return None

    async def _timed(
        self, look: "_Look", asked: Awaitable[list[Evidence]], source: str, concept: str
    ) -> list[Evidence]:
        try:
            async with asyncio.timeout_at(look.end):
                return await asked
        except TimeoutError:
            note = f"no answer within {self._manner.seconds:g} s"
        except DependencyError as error:
            note = error.message
        except Exception as error:  # noqa: BLE001 - as above; what a store said may be secret, so its type is all that is told
            _log.exception("surroundings could not be asked for")
            note = f"the answer could not be used ({type(error).__name__})"
        return [around.unseen(concept, source, look.enquiry.now, note)]

    def _remembered(self, service: str, item: Evidence) -> Evidence:
        if item.concept != DEPENDENTS:
            return item
        if item.known:
            if len(self._kept) < _MOST_KEPT or service in self._kept:
                self._kept[service] = item
            return item
        before = self._kept.get(service)
        return item if before is None else around.stale(before, item.note)

    # --- graph ----------------------------------------------------------------------------------------------

    async def _graph(self, look: "_Look") -> list[Evidence]:
        """Each piece for itself: where one is late the others stand."""
        node = service_node(look.service.name)
        known = asyncio.ensure_future(look.enquiry.graph("thing", {"id": node}))
        asked = {OWNER: self._owner, DEPENDENTS: self._dependents, UPSTREAM: self._upstream}

        async def piece(ask: Callable[["_Look", str], Awaitable[Evidence]]) -> list[Evidence]:
            if not await asyncio.shield(known):
                raise Unavailable("the graph does not know the service, or the policy does not show it")
            return [await ask(look, node)]

        timed = (self._timed(look, piece(ask), "graph", concept) for concept, ask in asked.items())
        try:
            found = [item for items in await asyncio.gather(*timed) for item in items]
        finally:
            known.cancel()
        return [self._remembered(look.service.name, item) for item in found]

    async def _owner(self, look: "_Look", node: str) -> Evidence:
        rows = await look.enquiry.graph("owner_of", {"id": node})
        return around.owner(rows, self._seen(look.enquiry, "owner_of", node))

    async def _dependents(self, look: "_Look", node: str) -> Evidence:
        enquiry, deep = look.enquiry, {"id": node, "depth": _DEPTH}
        leaning, reached = await asyncio.gather(
            enquiry.graph("dependents_of", deep), enquiry.graph("blast_radius", deep)
        )
        blast = around.Blast(
            services=leaning,
            others=reached,
            details=await self._details(enquiry, around.services_of(leaning)),
            cut=len(leaning) >= enquiry.resolver.limits.rows,
        )
        return around.dependents(blast, self._seen(enquiry, "dependents_of, blast_radius", node))

    async def _upstream(self, look: "_Look", node: str) -> Evidence:
        enquiry, deep = look.enquiry, {"id": node, "depth": _DEPTH}
        opened = look.incident.opened_at if look.incident is not None else enquiry.now
        since = max(0, int((opened - _CHANGED_WITHIN).timestamp()))
        causes, resting = await asyncio.gather(
            enquiry.graph("upstream_causes", {**deep, "since": since}), enquiry.graph("depends_on", deep)
        )
        return around.upstream(causes, resting, self._seen(enquiry, "upstream_causes, depends_on", node))

    def _seen(self, enquiry: Enquiry, queries: str, node: str) -> around.Seen:
        return around.Seen(source=f"graph: {queries} {around.clean(node)}", at=enquiry.now)

    async def _details(self, enquiry: Enquiry, names: Sequence[str]) -> dict[str, around.Detail]:
        """Of the catalogue where it has the service, else of the graph, as far as it says so soon."""
        found = {
            name: around.Detail(tier=str(known.tier), teams=(known.owner,) if known.owner else ())
            for name in names
            if (known := self._services.get(name)) is not None
        }
        strange = [name for name in names if name not in found][:_MOST_DETAILS]
        details = await asyncio.gather(*(self._detail(enquiry, name) for name in strange))
        return {**found, **dict(zip(strange, details, strict=True))}

    async def _detail(self, enquiry: Enquiry, name: str) -> around.Detail:
        node = service_node(name)
        try:
            things, owners = await asyncio.gather(
                enquiry.graph("thing", {"id": node}), enquiry.graph("owner_of", {"id": node})
            )
        except Unavailable:
            return around.Detail()
        properties = things[0].get("properties") if things else None
        tier = properties.get("tier") if isinstance(properties, Mapping) else None
        return around.Detail(
            tier=around.clean(tier) if isinstance(tier, int | str) else "",
            teams=tuple(around.clean(row.get("name")) for row in owners),
        )

    # --- documents ------------------------------------------------------------------------------------------

    async def _documents(self, look: "_Look") -> list[Evidence]:
        enquiry, service = look.enquiry, look.service
        words = _words(service, look.incident)
        told = await enquiry.ask(DocumentSearch(words=words, kinds=("runbook",), service=service.name), words)
        trouble = lacking(told, Store.VECTOR)
        if trouble and not told.passages:
            # Whether there is none, or none could be searched, cannot be told apart.
            raise Unavailable(f"no document was found. {trouble}")
        seen = around.Seen(source=f"documents: {around.clean(words)}", at=enquiry.now, note=trouble)
        return [around.runbooks(told.passages, service.name, seen)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """One look at a service; `end` is of the loop's clock."""

    enquiry: Enquiry
    service: Service
    end: float
    incident: Incident | None = None


def _words(service: Service, incident: Incident | None) -> str:
    """What is searched for: the words of the incident's name and summary, and of the service's name."""
    said = "" if incident is None else f"{incident.name} {incident.summary[:LONGEST_CONCEPT]}"
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[_\-./]+", " ", f"{service.name} {said}")
    return around.clean(parted, LONGEST_CONCEPT)
