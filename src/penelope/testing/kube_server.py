"""A small API server of Kubernetes for tests: ``python -m penelope.testing.kube_server FOLDER [DEFINITIONS]``.

It is no cluster: it keeps objects in memory, holds each against the official schemas, and plays a few controllers
(kube_play.py). It speaks TLS on 127.0.0.1 with a certificate of its own and asks for a bearer token. What it needs lies
in the folder: ``tokens.json`` (a token: its `verbs` and `resources`, ``*`` for all); it writes ``ca.pem`` there, and then
``address``. It ends with a signal, or after an hour.
"""

import json
import os
import re
import secrets
import ssl
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from penelope.kit.canonical import Json
from penelope.testing.kube_crds import install
from penelope.testing.kube_kinds import Place, Refused, discovery, place
from penelope.testing.kube_patch import patched
from penelope.testing.kube_play import play, ready
from penelope.testing.kube_store import Store, fits
from penelope.testing.own_certificate import certificate

_BODY_LIMIT_BYTES = 3 * 1024 * 1024
_LIFE_SECONDS = 3600
_POLL_SECONDS = 0.05
_LOG = "/penelope/log"


class Requests:
    """What clients ask of the store; one instance a server."""

    def __init__(self, tokens: dict[str, dict[str, list[str]]]) -> None:
        self.store = Store()
        self.log: list[dict[str, Json]] = []
        """Every change that was let through, in order."""
        self._tokens = tokens

    def admit(self, authorization: str, verb: str, resource: str) -> None:
        """Raises Refused where the token is unknown, or does not allow this."""
        scheme, _, token = authorization.partition(" ")
        known = (rules for each, rules in self._tokens.items() if secrets.compare_digest(each, token))
        rules = next(known, None)
        if scheme.lower() != "bearer" or rules is None:
            raise Refused(401, "Unauthorized", "Unauthorized")
        for name, wanted in (("verbs", verb), ("resources", resource)):
            if not {"*", wanted} & set(rules[name]):
                raise Refused(403, "Forbidden", f'forbidden: cannot {verb} resource "{resource}"')

    def read(self, at: Place, asked: dict[str, str]) -> Json:
        if not at.name:
            version = str(self.store.version)
            items = [item for item in self.store.all(at.kind.key, at.namespace) if chosen(item, asked)]
            return {
                "kind": f"{at.kind.kind}List",
                "apiVersion": at.kind.version,
                "metadata": {"resourceVersion": version},
                "items": [_bare(item) for item in items],
            }
        found = self.store.get(at)
        return _scale_of(found) if at.below == "scale" else found

    def create(self, at: Place, body: Json, *, dry: bool) -> Json:
        if at.below == "eviction":
            return self._evict(at, body, dry=dry)
        if at.name:
            raise Refused(405, "MethodNotAllowed", "the server does not allow this method on the resource")
        return self.store.create(at, body, dry=dry)

    def replace(self, at: Place, body: Json, *, dry: bool) -> Json:
        if at.below == "scale":
            return self._scale(at, lambda _: body, dry=dry)
        return self.store.update(at, lambda _: body, dry=dry)

    def patch(self, at: Place, content_type: str, body: Json, *, dry: bool) -> Json:
        if at.below == "scale":
            return self._scale(at, lambda scale: patched(content_type, scale, body), dry=dry)
        return self.store.update(at, lambda item: patched(content_type, item, body), dry=dry)

    def _scale(self, at: Place, mend: object, *, dry: bool) -> Json:
        wanted = mend(_scale_of(self.store.get(at)))  # type: ignore[operator]  # one of the two lambdas above

        def set_replicas(item: Json) -> Json:
            version = wanted["metadata"].get("resourceVersion")
            if version:
                item["metadata"]["resourceVersion"] = version
            item["spec"]["replicas"] = wanted["spec"].get("replicas", 0)
            return item

        return _scale_of(self.store.update(at, set_replicas, dry=dry))

    def _evict(self, at: Place, body: Json, *, dry: bool) -> Json:
        if not isinstance(body, dict) or body.get("kind") != "Eviction":
            raise Refused(400, "BadRequest", "an Eviction is expected")
        pod = self.store.get(at)
        for budget in self.store.all("poddisruptionbudgets", at.namespace):
            labels = (budget["spec"].get("selector") or {}).get("matchLabels") or {}
            fitting = [each for each in self.store.all("pods", at.namespace) if _has(each, labels)]
            healthy = sum(ready(each) and "deletionTimestamp" not in each["metadata"] for each in fitting)
            if (
                pod in fitting
                and ready(pod)
                and healthy <= _least(budget["spec"].get("minAvailable") or 0, len(fitting))
            ):
                why = "Cannot evict pod as it would violate the pod's disruption budget."
                raise Refused(429, "TooManyRequests", why)
        options = body.get("deleteOptions") or {}
        self.store.delete(at, options.get("preconditions"), dry=dry)
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}

    def watch(self, at: Place, asked: dict[str, str], since: int) -> Iterator[Json]:
        """Events from a version on, for as long as somebody takes them; a line with nothing tells that time passes."""
        end = time.monotonic() + float(asked.get("timeoutSeconds") or 300)
        while time.monotonic() < end:
            with self.store.lock:
                play(self.store)
                found = [event for event in self.store.events if event[0] > since and event[2] == at.kind.key]
                since = self.store.version
            for _, what, _, item in found:
                inside = not at.namespace or item["metadata"].get("namespace") == at.namespace
                if inside and chosen(item, asked) and at.name in {"", item["metadata"]["name"]}:
                    yield {"type": what, "object": item}
            time.sleep(_POLL_SECONDS)


def _bare(item: Json) -> Json:
    """An item of a list says neither kind nor version: the list does."""
    return {name: value for name, value in item.items() if name not in {"kind", "apiVersion"}}


def _least(text: str | int, pods: int) -> int:
    return -(-pods * int(text.rstrip("%")) // 100) if isinstance(text, str) else text


def _has(item: Json, labels: dict[str, str]) -> bool:
    return labels.items() <= (item["metadata"].get("labels") or {}).items()


def chosen(item: Json, asked: dict[str, str]) -> bool:
    """Whether an object is among those that a list or watch asks for. Raises Refused for other field selectors."""
    meta = item["metadata"]
    for part in filter(None, asked.get("fieldSelector", "").split(",")):
        name, _, value = part.replace("==", "=").partition("=")
        have = {
            "metadata.name": meta["name"],
            "metadata.namespace": meta.get("namespace", ""),
            "spec.nodeName": (item.get("spec") or {}).get("nodeName", ""),
        }
        if name not in have:
            raise Refused(400, "BadRequest", f"field label not supported: {name[:50]}")
        if have[name] != value:
            return False
    return fits(asked.get("labelSelector", ""), meta.get("labels") or {})


def _scale_of(item: Json) -> dict[str, Json]:
    meta = {name: item["metadata"][name] for name in ("name", "namespace", "uid", "resourceVersion")}
    selector = item["spec"]["selector"].get("matchLabels") or {}
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": meta,
        "spec": {"replicas": item["spec"]["replicas"]},
        "status": {
            "replicas": (item.get("status") or {}).get("replicas", 0),
            "selector": ",".join(f"{name}={value}" for name, value in selector.items()),
        },
    }


class Handler(BaseHTTPRequestHandler):
    """One connection; `requests` is set on the class that the server is made with."""

    protocol_version = "HTTP/1.1"
    requests: Requests

    def _serve(self) -> None:
        url = urlsplit(self.path)
        asked = {name: values[-1] for name, values in parse_qs(url.query).items()}
        try:
            body = self._body()
            with self.requests.store.lock:
                answer = self._answer(url.path, asked, body)
            if isinstance(answer, Place):
                self._stream(answer, asked)
                return
            code = 201 if self.command == "POST" else 200
        except Refused as refused:
            code, answer = refused.code, json.dumps(refused.status()).encode()
        except Exception:  # noqa: BLE001 - a fault of ours is told, as a server does, and does not end it
            traceback.print_exc()
            fault = Refused(500, "InternalError", "an error on the server")
            code, answer = fault.code, json.dumps(fault.status()).encode()
        self._send(code, answer)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 - names that http.server asks for

    def _answer(self, path: str, asked: dict[str, str], body: Json) -> bytes | Place:
        """What is sent back, made while the lock is held; for a watch, what is watched."""
        if path == _LOG:
            self.requests.admit(self.headers.get("Authorization", ""), "*", "*")
            return json.dumps(self.requests.log).encode()
        known = discovery(path)
        if known is not None:
            self.requests.admit(self.headers.get("Authorization", ""), "get", "*")
            return json.dumps(known).encode()
        at = place(path)
        watching = asked.get("watch") in {"true", "1"}
        verb = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}.get(
            self.command, "get"
        )
        if verb == "get" and not at.name:
            verb = "watch" if watching else "list"
        resource = f"{at.kind.plural}/{at.below}" if at.below else at.kind.plural
        self.requests.admit(self.headers.get("Authorization", ""), verb, resource)
        play(self.requests.store)
        if watching and "sendInitialEvents" in asked:
            why = "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"
            raise Refused(422, "Invalid", why)
        if self.command == "GET":
            return at if watching else json.dumps(self.requests.read(at, asked)).encode()
        dry = asked.get("dryRun") == "All"
        item = self._change(at, body, dry=dry)
        if not dry:
            who = asked.get("fieldManager", "")
            name = at.name or item["metadata"]["name"]
            self.requests.log.append({"verb": verb, "resource": resource, "name": name, "manager": who})
            if at.kind.custom:
                self.requests.log[-1]["body"] = body
        answer = json.dumps(item).encode()
        play(self.requests.store)
        return answer

    def _change(self, at: Place, body: Json, *, dry: bool) -> Json:
        match self.command:
            case "POST":
                return self.requests.create(at, body, dry=dry)
            case "PUT" if at.name:
                return self.requests.replace(at, body, dry=dry)
            case "PATCH" if at.name:
                return self.requests.patch(at, self.headers.get("Content-Type", ""), body, dry=dry)
            case "DELETE" if at.name and not at.below:
                return self.requests.store.delete(at, (body or {}).get("preconditions"), dry=dry)
        raise Refused(405, "MethodNotAllowed", "the server does not allow this method on the resource")

    def _body(self) -> Json:
        size = int(self.headers.get("Content-Length") or 0)
        if size > _BODY_LIMIT_BYTES:
            self.close_connection = True
            raise Refused(413, "RequestEntityTooLarge", "limit is 3145728")
        text = self.rfile.read(size)
        if not text:
            return None
        try:
            return json.loads(text)
        except ValueError:
            raise Refused(400, "BadRequest", "the body is no JSON") from None

    def _stream(self, at: Place, asked: dict[str, str]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        since = asked.get("resourceVersion") or "0"
        version = int(since) if re.fullmatch(r"\d{1,15}", since) else 0
        try:
            for event in self.requests.watch(at, asked, version):
                self.wfile.write(json.dumps(event).encode() + b"\n")
                self.wfile.flush()
        except OSError:
            return  # nobody listens any more

    def _send(self, code: int, answer: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Silent."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that has gone away is no matter here."""


def main(folder: Path, definitions: Path | None = None) -> None:
    """Serves until a signal comes. `definitions` is a folder with definitions of custom resources, to hold these against."""
    if definitions is not None:
        install(definitions)
    tokens = json.loads((folder / "tokens.json").read_text(encoding="utf-8"))
    handler = type("OneServer", (Handler,), {"requests": Requests(tokens)})
    server = _Server(("127.0.0.1", 0), handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate(folder))
    # The handshake waits for the thread of the connection: one silent client must not hold up all others.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    ending = threading.Timer(_LIFE_SECONDS, lambda: os._exit(0))
    ending.daemon = True
    ending.start()
    aside = folder / "address.new"
    aside.write_text(f"https://127.0.0.1:{server.server_port}", encoding="utf-8")
    aside.replace(folder / "address")
    server.serve_forever(poll_interval=0.2)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
