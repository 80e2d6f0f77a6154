"""Routes of a cluster: read from its API server, changed by a JSON patch that holds only for what was read."""

import asyncio
import copy
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlencode

import msgspec

from penelope.adapters.kube import MANAGER, ApiServer, Conflict, flaw_of, is_name
from penelope.adapters.outbound import Answer
from penelope.adapters.routers.arms import in_percent, options_as, router_of
from penelope.adapters.routers.ordering import Order, OrderedRouter
from penelope.domain.service import Service
from penelope.domain.traffic import RouterFinding
from penelope.errors import DependencyError, InvalidCatalogue, InvalidPlaybook, Unavailable
from penelope.kit.canonical import Json

_BODY_LIMIT_BYTES = 4 * 1024 * 1024
_ATTEMPTS = 5
_POLL_SECONDS = 0.1


class KubeOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options that all routers of a cluster have: the name of the route and its namespace, the URL of the API server, the path
    of the certificates that it is trusted by, and the credentials: `token`, or the path of one in `token_file`;
    `in_cluster` takes these three from the service account of the pod that Penelope runs in.
    """

    name: str
    namespace: str = "default"
    server: str | None = None
    ca: str | None = None
    token: str | None = None
    token_file: str | None = None
    in_cluster: bool = False


@dataclass(frozen=True, slots=True)
class Resource:
    """How a kind is written in paths."""

    version: str
    plural: str
    kind: str


class Routes:
    """The API server as one service's router sees it. Nothing is kept between two calls."""

    def __init__(self, service: Service, options: KubeOptions, timeout_seconds: float) -> None:
        _require_reachable(service, options)
        self._namespace = options.namespace
        self._server = ApiServer(
            options,
            "the API server of the router",
            timeout_seconds=timeout_seconds,
            body_limit_bytes=_BODY_LIMIT_BYTES,
        )

    async def get(self, resource: Resource, name: str) -> dict[str, Json] | None:
        """An object, None where there is none. Raises Unavailable, Timeout."""
        answer = await self._server.ask("GET", self._path(resource, name))
        if answer.status == 404:
            return None
        return self._object(answer, f"get {resource.plural}")

    async def create(self, resource: Resource, item: Mapping[str, Json]) -> dict[str, Json]:
        """Raises Conflict where it is there already, Unavailable, Timeout, and InvalidCatalogue where it is refused."""
        meta = {**item.get("metadata", {}), "namespace": self._namespace}
        whole = {"apiVersion": resource.version, "kind": resource.kind, **item, "metadata": meta}
        path = f"{self._path(resource)}?{_query()}"
        return self._object(await self._server.ask("POST", path, whole), f"create {resource.plural}")

    async def patch(
        self, resource: Resource, before: Mapping[str, Json], after: Mapping[str, Json]
    ) -> dict[str, Json]:
        """Makes of an object that was read another one. Raises as `create`, Conflict where it is not as it was read."""
        operations = json_patch(before, after)
        version = before["metadata"]["resourceVersion"]
        # To set the version that was read is how a patch is refused with a conflict; a failed `test` has no status of its own.
        guard = {"op": "replace", "path": "/metadata/resourceVersion", "value": version}
        path = f"{self._path(resource, before['metadata']['name'])}?{_query()}"
        answer = await self._server.ask("PATCH", path, [guard, *operations], "application/json-patch+json")
        return self._object(answer, f"patch {resource.plural}")

    def _path(self, resource: Resource, name: str = "") -> str:
        below = f"/{name}" if name else ""
        return f"/apis/{resource.version}/namespaces/{self._namespace}/{resource.plural}{below}"

    def _object(self, answer: Answer, verb: str) -> dict[str, Json]:
        if answer.status == 409:
            raise Conflict
        if answer.status in {400, 422}:
            raise InvalidCatalogue(f"the API server refuses it as not valid when asked to {verb}")
        if answer.status not in {200, 201}:
            hint = f"Let the router's credentials {verb} in its namespace."
            raise Unavailable(f"the API server answered {answer.status} when asked to {verb}", hint=hint)
        found = self._server.json(answer)
        try:
            if isinstance(found["metadata"]["resourceVersion"], str) and isinstance(found["spec"], dict):
                return found
        except (LookupError, TypeError):
            pass
        raise Unavailable("the API server answered something that is no object")


class KubeRouter(OrderedRouter):
    """One route object a service; subclasses say what it looks like. An order is one patch of it."""

    resource: Resource
    shape: type[KubeOptions] = KubeOptions

    def __init__(self, deadline_seconds: float = 10.0) -> None:
        self._deadline_seconds = deadline_seconds

    @abstractmethod
    def _shares(self, service: Service, route: Mapping[str, Json]) -> Mapping[str, int]:
        """The weights of a route by arm. Raises Unavailable for one that does not split the service's traffic."""

    @abstractmethod
    def _edit(self, service: Service, route: dict[str, Json], order: Order) -> None:
        """Changes a route in place as an order says. Raises as `_shares`, and InvalidCatalogue."""

    @abstractmethod
    def _made(self, service: Service, order: Order) -> dict[str, Json] | None:
        """A route for a service that has none yet; None where the options do not say enough to make one."""

    def _settled(self, route: Mapping[str, Json]) -> bool:  # noqa: ARG002 - others look
        """Whether the controller has taken a route over, as far as its status tells."""
        return True

    async def _prepare(self, service: Service, routes: Routes) -> None:
        """What must be there before the route speaks of it."""

    async def weights(self, service: Service) -> Mapping[str, int]:
        options = options_as(service, self.shape)
        route = await self._until_settled(Routes(service, options, self._deadline_seconds), options.name)
        return self._percent(service, route)

    async def findings(self, service: Service) -> Sequence[RouterFinding]:
        try:
            await self.weights(service)
        except (DependencyError, InvalidCatalogue) as error:
            return [RouterFinding(name="route", works=False, said=error.message)]
        return [RouterFinding(name="route", works=True, said="it is there, and taken over")]

    async def _carry_out(self, service: Service, order: Order) -> None:
        options = options_as(service, self.shape)
        routes = Routes(service, options, self._deadline_seconds)
        await self._prepare(service, routes)
        for _ in range(_ATTEMPTS):
            try:
                await self._change(service, routes, options.name, order)
                break
            except Conflict:
                continue
        else:
            raise Unavailable("the route is changed by others all the time")
        route = await self._until_settled(routes, options.name)
        if order.weights is not None and self._percent(service, route) != dict(order.weights):
            raise Unavailable("the route does not bear the weights that were set: somebody else sets it")

    async def _change(self, service: Service, routes: Routes, name: str, order: Order) -> None:
        route = await routes.get(self.resource, name)
        if route is None:
            made = self._made(service, order) if order.weights is not None else None
            if made is None:
                raise Unavailable(f"there is no {self.resource.kind} {name!r} in the router's namespace")
            await routes.create(self.resource, made)
            return
        after = copy.deepcopy(route)
        with _known_shape(self.resource):
            self._edit(service, after, order)
        if after != route:
            await routes.patch(self.resource, route, after)

    def _percent(self, service: Service, route: Mapping[str, Json]) -> dict[str, int]:
        with _known_shape(self.resource):
            return in_percent(self._shares(service, route))

    async def _until_settled(self, routes: Routes, name: str) -> dict[str, Json]:
        try:
            async with asyncio.timeout(self._deadline_seconds):
                while True:
                    route = await routes.get(self.resource, name)
                    if route is None:
                        raise Unavailable(
                            f"there is no {self.resource.kind} {name!r} in the router's namespace"
                        )
                    with _known_shape(self.resource):
                        if self._settled(route):
                            return route
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            hint = "Look at the route's status: kubectl describe."
            raise Unavailable(
                f"no controller has taken over the {self.resource.kind} {name!r}", hint=hint
            ) from None


@contextmanager
def _known_shape(resource: Resource) -> Iterator[None]:
    """A server, or a proxy before it, may answer anything: what is no route says nothing about one."""
    try:
        yield
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise Unavailable(f"the {resource.kind} has a shape that is not known here") from error


def arm_shares(service: Service, found: Sequence[tuple[str, int]]) -> dict[str, int]:
    """Weights by arm of pairs of a backend's name and weight. Raises Unavailable unless each arm is there once."""
    arms = router_of(service).arms
    names = [name for name, _ in found]
    if sorted(names) != sorted(arms.values()):
        raise Unavailable("the route does not list each arm once, and nothing else")
    weights = dict(found)
    return {arm: weights[name] for arm, name in arms.items()}


def json_patch(before: Json, after: Json, path: str = "") -> list[dict[str, Json]]:
    """The operations (RFC 6902) that make `after` of `before`; lists of another length are replaced as a whole."""
    if isinstance(before, dict) and isinstance(after, dict):
        found: list[dict[str, Json]] = []
        for key in sorted({*before, *after}):
            where = f"{path}/{key.replace('~', '~0').replace('/', '~1')}"
            if key not in after:
                found.append({"op": "remove", "path": where})
            elif key not in before:
                found.append({"op": "add", "path": where, "value": after[key]})
            else:
                found += json_patch(before[key], after[key], where)
        return found
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        pairs = enumerate(zip(before, after, strict=True))
        return [item for at, (old, new) in pairs for item in json_patch(old, new, f"{path}/{at}")]
    if before == after and type(before) is type(after):
        return []
    return [{"op": "replace", "path": path, "value": after}]


def refuse_initial(order: Order) -> None:
    """Raises InvalidPlaybook for more than weights where there is no route yet."""
    if any(order.extras.values()):
        raise InvalidPlaybook("set the weights first: the service has no route yet")


def _query() -> str:
    return urlencode({"fieldManager": MANAGER, "fieldValidation": "Strict"})


def _require_reachable(service: Service, options: KubeOptions) -> None:
    names = (options.name, options.namespace, *router_of(service).arms.values())
    known = all(map(is_name, names))
    why = flaw_of(options) if known else "a name, namespace or arm is none that Kubernetes knows"
    if why:
        raise InvalidCatalogue(f"the router options of {service.name!r}: {why}")
