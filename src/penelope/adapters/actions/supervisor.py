"""One program under supervisord, over its XML-RPC interface."""

import asyncio
import xmlrpc.client
from dataclasses import dataclass
from xml.parsers.expat import ExpatError

from penelope.adapters.outbound import Answer, Call, ask
from penelope.errors import ActionFailed, Unavailable
from penelope.kit.canonical import Json

_POLL_SECONDS = 0.05
_ALREADY_STARTED, _NOT_RUNNING = 60, 70
_START_FAULTS = {
    20: "no such file",
    21: "not executable",
    40: "it ends at once",
    50: "it cannot be spawned, or ends at once",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What the supervisor says of a program: times in whole epoch seconds, `pid` 0 while none runs."""

    state: str
    pid: int
    start: int
    now: int

    @property
    def up(self) -> bool:
        return self.state == "RUNNING"

    @property
    def run(self) -> tuple[int, int]:
        """Tells one run of the program from the next."""
        return self.start, self.pid


class Supervisor:
    """Talks to one supervisord about one program. Every method may raise Unavailable or Timeout."""

    def __init__(self, url: str, program: str) -> None:
        self._url = url.rstrip("/") + "/RPC2"
        self._program = program

    async def look(self) -> Look:
        try:
            info = await self._call("getProcessInfo", self._program)
            return Look(
                state=str(info["statename"]),
                pid=int(info["pid"]),
                start=int(info["start"]),
                now=int(info["now"]),
            )
        except xmlrpc.client.Fault as fault:
            raise Unavailable(
                f"the supervisor says nothing about {self._program!r}: fault {fault.faultCode}",
                hint="Fault 10 means that it knows no such program, fault 6 that it is shutting down.",
            ) from None
        except (LookupError, TypeError, ValueError) as error:
            raise Unavailable("the supervisor's answer cannot be read") from error

    async def stop(self, timeout_seconds: float) -> None:
        """Stops the program and waits until it is down; does nothing where it is down already."""
        try:
            await self._call("stopProcess", self._program, True, timeout_seconds=timeout_seconds)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != _NOT_RUNNING:
                raise ActionFailed(f"{self._program} cannot be stopped: fault {fault.faultCode}") from None
        await self._after("STOPPING")

    async def start(self, timeout_seconds: float) -> bool:
        """Starts the program and waits until it runs; False says that something else had started it.

        Raises ActionFailed when it does not come up.
        """
        try:
            await self._call("startProcess", self._program, True, timeout_seconds=timeout_seconds)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode == _ALREADY_STARTED:
                return False
            reason = _START_FAULTS.get(fault.faultCode, f"fault {fault.faultCode}")
            raise ActionFailed(
                f"{self._program} does not start: {reason}", hint="Read the program's own log."
            ) from None
        return True

    async def until_up(self) -> Look:
        """Waits for a start under way. Raises ActionFailed when it does not come up."""
        look = await self._after("STARTING")
        if not look.up:
            raise ActionFailed(f"{self._program} is {look.state}", hint="Read the program's own log.")
        return look

    async def _after(self, state: str) -> Look:
        while True:
            look = await self.look()
            if look.state != state:
                return look
            await asyncio.sleep(_POLL_SECONDS)

    async def _call(self, method: str, *params: Json, timeout_seconds: float = 5.0) -> Json:
        content = xmlrpc.client.dumps(params, f"supervisor.{method}").encode()
        answer = await ask(
            Call(
                what="the supervisor",
                method="POST",
                url=self._url,
                headers={"Content-Type": "text/xml"},
                content=content,
                timeout_seconds=timeout_seconds,
            )
        )
        return self._read(answer)

    def _read(self, answer: Answer) -> Json:
        if answer.status != 200:
            raise Unavailable(
                f"the supervisor answers with status {answer.status}",
                hint="Check url, user and password of the option `supervisor`.",
            )
        try:
            values, _ = xmlrpc.client.loads(answer.body)
        except xmlrpc.client.Fault:
            raise
        except (ExpatError, xmlrpc.client.Error, LookupError, TypeError, ValueError) as error:
            raise Unavailable("the supervisor's answer cannot be read") from error
        return values[0] if values else None
