"""The shape of a service's `twin` in services.yaml."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from penelope.adapters.yaml_model import Form, Part, PositiveDuration
from penelope.domain.service import TwinCheck, TwinReplay, TwinServe, TwinSpec

Word = Annotated[str, Form(r"[^\0]{1,4096}", "a text of 1 to 4096 characters")]
Argv = Annotated[list[Word], Field(min_length=1, max_length=256)]
Name = Annotated[str, Form(r"[A-Za-z0-9][A-Za-z0-9 _-]{0,63}", "a short name")]
Folder = Annotated[str, Form(r"(?:/(?!\.{1,2}(?:/|$))[^/\0]+)+", "an absolute path without dots")]
Header = Annotated[str, Form(r"[A-Za-z0-9-]{1,64}", "the name of a header")]
Pointer = Annotated[str, Form(r"(?:/[^/]*){1,16}", "a path such as /meta/time, with * for any key")]
Target = Annotated[str, Form(r"[A-Za-z0-9][A-Za-z0-9_-]*", "the name of a target")]


class TwinCheckRule(Part):
    """A command that tells whether a copy of the service is sound, by ending with 0."""

    name: Name
    """What it is called."""
    argv: Argv
    """The program and its arguments; no shell reads them. It runs in the folder of the copy."""
    timeout: PositiveDuration = 30.0
    """How long it may take."""
    target: Target | None = None
    """The target in whose copy it runs; needed where the plan changes several."""


class TwinServeRule(Part):
    """How a copy of the service is started."""

    argv: Argv
    """The program and its arguments. It must listen on 127.0.0.1, which is the sandbox's own."""
    port: Annotated[int, Field(ge=1024, le=65535)]
    """The port that it listens on."""
    ready: PositiveDuration = 10.0
    """How long it may take until it listens."""
    target: Target | None = None
    """The target in whose copy it runs."""

    def start(self) -> TwinServe:
        return TwinServe(argv=tuple(self.argv), port=self.port, ready_seconds=self.ready, target=self.target)


class TwinReplayRule(Part):
    """Recorded requests, sent to the copy without and with the change; the answers are compared."""

    file: Word
    """JSON lines with `method`, `path`, and maybe `headers` and `body`; relative paths count from the catalogue's folder."""
    headers: list[Header] = Field(default_factory=list)
    """The headers of answers that must stay as they are; status and body must in any case."""
    ignore: list[Pointer] = Field(default_factory=list)
    """What may differ in JSON bodies, such as times."""

    def requests(self, folder: Path) -> TwinReplay:
        file = str(folder / self.file)
        return TwinReplay(file=file, headers=tuple(self.headers), ignore=tuple(self.ignore))


class TwinLimitsRule(Part):
    """What a run in the sandbox may use at the most, where it is not what the settings say."""

    cpu_seconds: Annotated[int, Field(ge=1, le=3600)] | None = None
    """Processor time of all its processes, in seconds."""
    memory_mib: Annotated[int, Field(ge=16, le=65536)] | None = None
    """Memory of all its processes, in MiB."""
    disk_mib: Annotated[int, Field(ge=8, le=65536)] | None = None
    """What it may write, in MiB; it is kept in memory."""
    processes: Annotated[int, Field(ge=4, le=4096)] | None = None
    """How many processes and threads it may have."""


class TwinRule(Part):
    """How plans for the service are tried on a copy first."""

    checks: list[TwinCheckRule] = Field(default_factory=list, max_length=32)
    """Commands that are run on the copy without and with the change."""
    serve: TwinServeRule | None = None
    """How the copy is started, for recorded requests."""
    replay: TwinReplayRule | None = None
    """Recorded requests; they need `serve`."""
    read_only: list[Folder] = Field(default_factory=list, max_length=32)
    """Further folders that the commands may read; /usr, and the Python that runs Penelope, are there anyway."""
    limits: TwinLimitsRule = TwinLimitsRule()
    """Limits that differ from those of the settings."""

    @model_validator(mode="after")
    def _requests_have_a_service(self) -> Self:
        if self.replay is not None and self.serve is None:
            raise PydanticCustomError("replay", "needs `serve` too: recorded requests are sent to the copy")
        return self

    def targets(self) -> set[str]:
        """The targets that it names."""
        named = [*(check.target for check in self.checks), self.serve.target if self.serve else None]
        return {name for name in named if name is not None}

    def spec(self, folder: Path) -> TwinSpec:
        """`folder` is the catalogue's."""
        return TwinSpec(
            checks=tuple(
                TwinCheck(
                    name=check.name,
                    argv=tuple(check.argv),
                    timeout_seconds=check.timeout,
                    target=check.target,
                )
                for check in self.checks
            ),
            serve=self.serve.start() if self.serve else None,
            replay=self.replay.requests(folder) if self.replay else None,
            read_only=tuple(self.read_only),
            limits=self.limits.model_dump(exclude_none=True),
        )
