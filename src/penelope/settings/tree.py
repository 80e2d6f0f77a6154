"""The settings themselves; the text below a setting is its entry in docs/reference/settings.md."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    PrivateAttr,
    SecretStr,
    Strict,
    ValidationInfo,
    field_validator,
)
from sqlalchemy.engine import make_url

from penelope.settings.act import Act
from penelope.settings.approval import Approval, Notify
from penelope.settings.autonomy import Autonomy
from penelope.settings.benchmark import Benchmark
from penelope.settings.brakes import Brakes
from penelope.settings.constitution import Constitution
from penelope.settings.context import Context
from penelope.settings.context_healing import ContextHealing
from penelope.settings.context_policy import ContextGuard, ContextPolicy
from penelope.settings.dependency import Dependency
from penelope.settings.documents import Documents
from penelope.settings.graph import Graph
from penelope.settings.policy import Policy
from penelope.settings.rest import Rest
from penelope.settings.routers import Routers
from penelope.settings.scanner import Scanner
from penelope.settings.secrets import Secrets
from penelope.settings.section import Count, DatabaseUrl, Days, Location, Seconds, Section, Share, address
from penelope.settings.semantic import Semantic
from penelope.settings.tokens import Tokens
from penelope.settings.twin import Twin
from penelope.settings.waiting import Waiting
from penelope.settings.wisdom import Wisdom

DEFAULT = "default"


def _witness(text: str) -> str:
    vkey, _, url = text.partition(" ")
    try:
        address(url)
    except ValueError as error:
        raise ValueError(f"should hold a verifier key, a space and a URL; the URL {error}") from None
    if not vkey:
        raise ValueError("should hold a verifier key, a space and a URL")
    return text


WitnessLine = Annotated[str, AfterValidator(_witness)]


class Database(Section):
    """Where state and history are kept."""

    url: DatabaseUrl = Field(default="sqlite:///var/penelope.db", repr=False)
    """The operational store and the ledger: `sqlite:///FILE` on one machine, `postgresql://user@host/database`
    where several workers share it."""

    engine_url: DatabaseUrl | None = Field(default=None, repr=False)
    """Where the durable engine keeps its state. By default on SQLite a file beside that of `database.url`, with
    `-engine` added to its name, and on PostgreSQL the same database, in the schema `dbos`."""

    @property
    def engine_address(self) -> str:
        """`engine_url`, or what follows from `url` where that is not set."""
        if self.engine_url is not None:
            return self.engine_url
        url = make_url(self.url)
        if url.drivername != "sqlite" or not url.database:
            return self.url
        file = Path(url.database)
        return str(url.set(database=str(file.with_name(f"{file.stem}-engine{file.suffix}"))))


class Engine(Section):
    """The durable engine that carries incidents through crashes."""

    poll_seconds: Seconds = 0.5
    """How often, in seconds, waiting workflows look for messages on SQLite. PostgreSQL tells them by itself."""

    executor_id: str = Field(default="local", pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    """The name of this process's place among the workers. It must stay the same over restarts, and no two live
    processes may share it."""

    heartbeat_seconds: Seconds = 10
    """How often, in seconds, this process says that it lives; after three times that long it counts as dead."""

    reconcile_seconds: Seconds = 15
    """How often, in seconds, open incidents are compared with running workflows, and lost ones started again."""


class Api(Section):
    """The HTTP server."""

    host: str = Field(default="127.0.0.1", min_length=1)
    """The address to listen on. Put a proxy with TLS before it when it is not a loopback address."""

    port: int = Field(default=8420, ge=0, le=65535)
    """The TCP port to listen on; 0 takes a free one."""

    max_body_bytes: Count = 16 * 1024 * 1024
    """The largest request body, in bytes; a larger one is refused unread."""

    max_batch: Count = 25_000
    """The most signals in one request, be they a CloudEvents batch or the alerts of one webhook."""


class Keys(Section):
    """API keys."""

    pepper: SecretStr | None = None
    """A secret of at least 16 characters that is hashed together with every API key. Changing it revokes all
    keys. When it is not set, `keys.pepper_file` is used."""

    pepper_file: Location = Path("var/pepper")
    """The file that holds the pepper; it is made at the first start, with mode 0600 and a random content."""

    @field_validator("pepper")
    @classmethod
    def _pepper_is_long(cls, pepper: SecretStr | None) -> SecretStr | None:
        if pepper is not None and len(pepper) < 16:
            raise ValueError("should have at least 16 characters")
        return pepper


class Ledger(Section):
    """The log over history: its name, keys, checkpoints and witnesses."""

    origin: str = Field(default="localhost/penelope", pattern=r"^[^\s+]{1,200}$")
    """The log's name, which checkpoints and keys bear; by custom a domain and a path without a scheme, such as
    `ledger.example.com/penelope`. It cannot be changed later without beginning a new log."""

    keys: Location = Path("var/ledger-keys")
    """The folder of the keys that sign checkpoints, and of the last checkpoint that they signed. A first key is made
    at the first start. It must not lie where the database can be restored together with it."""

    public: bool = True
    """Whether checkpoint, tiles and entries are served below `/log/` without an API key, so that witnesses and
    monitors can read them. They hold no personal data; names of services stand in none of them, identifiers do."""

    checkpoint_seconds: Seconds = 1.0
    """How often, in seconds, new entries are taken into the log and a checkpoint is signed."""

    witnesses: Annotated[tuple[WitnessLine, ...], Strict(False)] = ()
    """Witnesses that cosign checkpoints (C2SP tlog-witness), each as its verifier key, a space and its URL."""

    sweep_seconds: Seconds = 3600
    """How often, in seconds, all stored history is verified. What does not fit becomes an incident."""

    payload_days: Days = 90
    """How many days the payloads of entries stay in the database. Older ones are taken from it once they lie in the
    archive; the entries themselves, and every proof about them, stay."""

    archive: Location = Path("var/archive")
    """The folder of the archive: compressed segments of the log with their payloads."""


class Buffer(Section):
    """The buffer through which telemetry reaches the database."""

    capacity: Count = 10_000
    """The most records that wait in memory; beyond it they are refused or, by `buffer.overflow`, spilled."""

    batch: Count = 1000
    """How many records are written at once, in one transaction."""

    interval_seconds: Seconds = 1.0
    """The longest time, in seconds, that a record waits before it is written, if the database answers."""

    overflow: Literal["refuse", "spill"] = "refuse"
    """What happens while the database does not take records: `refuse` keeps what fits and refuses more; `spill`
    writes them to `buffer.spill_file`, and from there to the database later."""

    spill_file: Location = Path("var/spill.jsonl")
    """Where records wait for the database when `buffer.overflow` is `spill`."""

    spill_bytes: Count = 256 * 1024 * 1024
    """The largest size of that file, in bytes."""

    @field_validator("batch")
    @classmethod
    def _batch_fits(cls, batch: int, info: ValidationInfo) -> int:
        capacity = info.data.get("capacity", batch)
        if batch > capacity:
            raise ValueError(f"should not exceed buffer.capacity, which is {capacity}")
        return batch


class Intake(Section):
    """How signals become incidents."""

    hold_seconds: Seconds = 86_400
    """How long, in seconds, an incident that was handed to people goes on taking in signals about the same
    problem; one that comes later opens a new incident."""


class Catalogue(Section):
    """What Penelope looks after."""

    path: Location = Path("services.yaml")
    """The service catalogue."""


class Playbooks(Section):
    """Where fixes are written down."""

    paths: Annotated[tuple[Location, ...], Strict(False)] = ()
    """Playbook files, and folders of them, in order of preference. They come before the shipped ones."""

    shipped: bool = True
    """Whether the starter library that comes with Penelope is in force."""


class Metrics(Section):
    """How the figures of services are read."""

    interval_seconds: Seconds = 5
    """How often, in seconds, every instance is read."""

    timeout_seconds: Seconds = 2
    """How long, in seconds, an instance may take to answer before it counts as not seen."""

    retention_seconds: Seconds = 900
    """How long, in seconds, samples are kept in memory."""

    window_seconds: Seconds = 60
    """The window, in seconds, over which figures are judged; at most `metrics.retention_seconds`."""

    @field_validator("window_seconds")
    @classmethod
    def _window_is_kept(cls, window: float, info: ValidationInfo) -> float:
        retention = info.data.get("retention_seconds", window)
        if window > retention:
            message = f"should not exceed metrics.retention_seconds, which is {retention:g}"
            raise ValueError(message)
        return window


class Decide(Section):
    """When to intervene, when to look on and when to call people."""

    risk_limit: Share = 0.7
    """The highest risk, 0 to 1, at which Penelope intervenes without asking."""

    confidence_floor: Share = 0.5
    """The lowest confidence, 0 to 1, at which Penelope intervenes."""

    observe_seconds: Seconds = 60
    """The longest observation, in seconds, before an incident is escalated."""

    recheck_seconds: Seconds = 10
    """How often, in seconds, an observed incident is judged again."""


class Gate(Section):
    """The rules that stand between a plan and production."""

    halt_failures: Count = 3
    """How many failures within `gate.halt_window_seconds` halt the healing of a service: fixes that broke their
    contract, or that did not last (`brakes.relapse_seconds`)."""

    halt_window_seconds: Seconds = 900
    """The window, in seconds, in which those failures are counted."""

    halt_seconds: Seconds = 3600
    """How long, in seconds, a halt lasts; then one intervention is let through on trial."""

    rate_actions: Count = 10
    """The most actions on one service within `gate.rate_window_seconds`."""

    rate_window_seconds: Seconds = 3600
    """The window, in seconds, in which those actions are counted."""

    approval_tier: int = Field(default=3, ge=1, le=4)
    """The lowest tier of an action (1 local, 2 with snapshot, 3 hard to reverse, 4 irreversible) that a person
    must approve."""


class Verify(Section):
    """How a change is held against what it promised."""

    poll_seconds: Seconds = 1.0
    """How often, in seconds, a contract is looked at while it may still come true."""


class Log(Section):
    """What the server tells about itself."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe messages that are written."""

    format: Literal["auto", "json", "console"] = "auto"
    """`json` writes a JSON object a line, `console` is for the eye; `auto` is `console` on a terminal."""


class Settings(Section):
    """The whole tree. Built by `load`; tests may build it by hand."""

    database: Database = Database()
    engine: Engine = Engine()
    api: Api = Api()
    keys: Keys = Keys()
    tokens: Tokens = Tokens()
    ledger: Ledger = Ledger()
    buffer: Buffer = Buffer()
    intake: Intake = Intake()
    catalogue: Catalogue = Catalogue()
    playbooks: Playbooks = Playbooks()
    metrics: Metrics = Metrics()
    decide: Decide = Decide()
    waiting: Waiting = Waiting()
    gate: Gate = Gate()
    brakes: Brakes = Brakes()
    benchmark: Benchmark = Benchmark()
    rest: Rest = Rest()
    policy: Policy = Policy()
    context_policy: ContextPolicy = ContextPolicy()
    context_guard: ContextGuard = ContextGuard()
    scanner: Scanner = Scanner()
    dependency: Dependency = Dependency()
    graph: Graph = Graph()
    approval: Approval = Approval()
    autonomy: Autonomy = Autonomy()
    constitution: Constitution = Constitution()
    notify: Notify = Notify()
    act: Act = Act()
    secrets: Secrets = Secrets()
    routers: Routers = Routers()
    semantic: Semantic = Semantic()
    twin: Twin = Twin()
    verify: Verify = Verify()
    wisdom: Wisdom = Wisdom()
    documents: Documents = Documents()
    context: Context = Context()
    context_healing: ContextHealing = ContextHealing()
    log: Log = Log()

    _origins: Mapping[str, str] = PrivateAttr(default_factory=dict)

    def model_post_init(self, context: Any, /) -> None:
        """Keeps the origins that `load` passes on, for `origin`."""
        self._origins = (context or {}).get("origins", {})

    def origin(self, name: str) -> str:
        """Where the value of a setting such as ``api.port`` comes from."""
        return self._origins.get(name, DEFAULT)
