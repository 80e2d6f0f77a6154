"""Runs inside a sandbox: starts the service, sends it recorded requests, and writes down what it answered.

A script of its own, run by the bare interpreter. It is called with the path of its order, a JSON object (see `replay.py`).
What it writes is told by something untrusted: nothing may rest on it but whether the change makes a difference.
"""

import hashlib
import http.client
import json
import socket
import subprocess
import sys
import time
from typing import Any

_ANSWER_SECONDS = 10.0
_MOST_BODY = 8 * 1024 * 1024


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as stream:  # noqa: PTH123 - no pathlib: it starts slowly
        order: dict[str, Any] = json.load(stream)
    service = subprocess.Popen(  # noqa: S603 - this is what the sandbox is for
        order["argv"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        up = wait(service, order["port"], order["ready"])
        answers = [ask(order, request) for request in order["requests"]] if up else []
        print(json.dumps({"up": up, "answers": answers}))  # noqa: T201 - this is read outside
    finally:
        service.kill()


def wait(service: "subprocess.Popen[bytes]", port: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and service.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return True
    return False


def ask(order: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
    started = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", order["port"], timeout=_ANSWER_SECONDS)
    try:
        body = request["body"].encode()
        connection.request(request["method"], request["path"], body or None, request["headers"])
        answer = connection.getresponse()
        content = answer.read(_MOST_BODY)
        headers = {name: answer.getheader(name) for name in order["headers"]}
        told = {"status": answer.status, "headers": headers, "body": digest(content, order["ignore"])}
    except (OSError, http.client.HTTPException, ValueError) as error:
        told = {"status": 0, "headers": {}, "body": type(error).__name__}
    finally:
        connection.close()
    return {**told, "ms": round((time.monotonic() - started) * 1000, 3)}


def digest(content: bytes, ignore: list[str]) -> str:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return hashlib.sha256(content).hexdigest()
    for pointer in ignore:
        leave_out(value, pointer.split("/")[1:])
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def leave_out(value: Any, path: list[str]) -> None:
    key, rest = path[0], path[1:]
    if isinstance(value, dict):
        keys = list(value) if key == "*" else [key] if key in value else []
    elif isinstance(value, list):
        indices = range(len(value))
        keys = list(indices) if key == "*" else [int(key)] if key.isdigit() and int(key) in indices else []
    else:
        return
    for found in keys:
        if rest:
            leave_out(value[found], rest)
        else:
            value[found] = None


if __name__ == "__main__":
    main()
