"""What the interface is told of deployments, and tells of them. Every bound is the domain's own."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from penelope.domain import analysis, traffic
from penelope.domain import deployment as domain
from penelope.domain.rollout import RolloutLimits
from penelope.errors import InvalidRequest
from penelope.kit.described import Described

_STRICT = ConfigDict(extra="forbid", from_attributes=True)
_LINE = r"^[^\x00-\x1f\x7f-\x9f]*$"
_LINES = r"^[^\x00-\x08\x0b-\x1f\x7f-\x9f]*$"

Name = Annotated[str, Field(min_length=1, max_length=domain.LONGEST_NAME, pattern=r"^[^\x00]*$")]
Text = Annotated[str, Field(max_length=domain.LONGEST_NAME, pattern=_LINE)]
Reason = Annotated[
    str, Field(max_length=4096, pattern=r"\S", json_schema_extra={"allOf": [{"pattern": _LINES}]})
]
"""The desk says which text has control characters, and what to do: the document tells callers beforehand."""
Seconds = Annotated[float, Field(ge=0, le=domain.LONGEST_SECONDS, allow_inf_nan=False)]
Chance = Annotated[float, Field(gt=0, lt=1)]
Score = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Ratio = Annotated[float, Field(ge=0, le=1)]
Token = Annotated[str, Field(pattern=traffic.NAME_FORM)]


class Stage(Described):
    """A weight for the changed arm."""

    model_config = _STRICT

    weight: Annotated[int, Field(ge=0, le=domain.WHOLE)]
    """Percent of the traffic."""
    min_seconds: Seconds = 0.0
    """It is not promoted sooner."""
    max_seconds: Seconds = 900.0
    """Without a verdict by then it ends as `analysis.undecided` says, by default with a rollback."""
    manual: bool = False
    """Waits for a person's word."""


class Limits(Described):
    """The guard rails of a canary."""

    model_config = _STRICT

    min_success_ratio: Ratio = 0.95
    max_error_ratio: Chance = 0.02
    """Of the two the stricter binds."""
    max_latency_p99_increase_seconds: Annotated[float, Field(ge=0, le=domain.LONGEST_INTERVAL_SECONDS)] = 0.5
    """Above the control's."""
    min_requests: Annotated[int, Field(ge=0, le=domain.MOST_REQUESTS)] = 20
    """Fewer on the canary are too few for a promotion."""


class Noise(Described):
    """How many times more a figure scatters than dice would; learned from two slices that are alike."""

    model_config = _STRICT

    factor: Annotated[float, Field(ge=1, le=1e6)] = 1.0
    information: Annotated[float, Field(ge=0, le=1e15)] = 0.0
    """Events a second x share x (1 - share) when it was learned; 0 where that is not known."""


class Tempering(Described):
    """The noise of errors and of slow requests; where none is named, what was learned of the service is used."""

    model_config = _STRICT

    errors: Noise = Field(default_factory=Noise)
    latency: Noise = Field(default_factory=Noise)


class Thresholds(Described):
    """Scores of Kayenta's judge, 0 to 100."""

    model_config = _STRICT

    passing: Score = 95.0
    """From it on the canary goes on."""
    marginal: Score = 75.0
    """Below it the canary goes back."""


class Analysis(Described):
    """How a canary is judged: docs/rollout-statistics.md."""

    model_config = _STRICT

    alpha: Chance = 0.05
    """The chance that a canary is rolled back in the whole rollout though it is as good as the control."""
    beta: Chance = 0.05
    """The chance that a stage goes on though the canary is worse by `factor`."""
    factor: Annotated[float, Field(gt=1, le=100)] = 2.0
    """So many times as frequent errors, or slow requests, must be ruled out before a promotion."""
    negligible_error_ratio: Chance = 0.002
    negligible_slow_ratio: Chance = 0.025
    limits: Limits = Field(default_factory=Limits)
    silence_seconds: Seconds = 120.0
    """Figures may be missing for so long."""
    on_silence: Literal["rollback", "hold"] = "rollback"
    """What becomes of it then; silence never promotes."""
    undecided: analysis.Otherwise = analysis.Otherwise.ROLLBACK
    """What becomes of a stage that has figures, and no verdict in its time."""
    latency: bool = True
    """Without it only errors are judged."""
    tempering: Tempering = Field(default_factory=Tempering)
    mode: analysis.Mode = analysis.Mode.SEQUENTIAL
    """`kayenta` judges each stage once, at the end of its `min_seconds`: a test of fixed horizon."""
    kayenta: Thresholds = Field(default_factory=Thresholds)
    """For that mode."""

    def spec(self) -> analysis.AnalysisSpec:
        """Raises InvalidRequest."""
        wanted = self.model_dump(exclude={"limits", "tempering", "on_silence", "kayenta"})
        noises = self.tempering.model_dump()
        try:
            return analysis.AnalysisSpec(
                **wanted,
                on_silence=analysis.Otherwise(self.on_silence),
                limits=RolloutLimits(**self.limits.model_dump()),
                kayenta=analysis.Thresholds(**self.kayenta.model_dump()),
                tempering=analysis.Tempering(
                    **{name: analysis.Noise(**noise) for name, noise in noises.items()}
                ),
            )
        except ValueError as error:
            raise InvalidRequest(str(error)) from error


class Mirror(Described):
    """Copies of requests, whose answers are thrown away."""

    model_config = _STRICT

    arm: Name
    percent: Annotated[int, Field(ge=1, le=domain.WHOLE)]


class Pin(Described):
    """Requests that bear a header, or a cookie, of this value; one of the two is named."""

    model_config = _STRICT

    arm: Name
    value: Annotated[str, Field(pattern=traffic.VALUE_FORM)]
    header: Token | Literal[""] = ""
    cookie: Token | Literal[""] = ""


class Affinity(Described):
    """A cookie by which a client comes back to its arm, until the arm's weight is 0."""

    model_config = _STRICT

    cookie: Token
    max_age_seconds: Annotated[int, Field(ge=1, le=traffic.LONGEST_AGE_SECONDS)] = 86_400


class Course(Described):
    """How a deployment is to go."""

    model_config = _STRICT

    canary: Name
    """The arm that is changed, by its name in the catalogue."""
    control: Name
    """The arm that it is compared with."""
    stages: Annotated[list[Stage], Field(min_length=1, max_length=domain.MOST_STAGES)] = Field(
        default_factory=lambda: [Stage.model_validate(stage) for stage in domain.CANARY]
    )
    """Each with a larger weight than the one before."""
    auto_promote: bool = True
    """Without it every stage waits for a person."""
    auto_rollback: bool = True
    """Without it a person is told that a rollback is due."""
    interval_seconds: Annotated[
        float, Field(ge=domain.SHORTEST_INTERVAL_SECONDS, le=domain.LONGEST_INTERVAL_SECONDS)
    ] = 5.0
    """Between two looks."""
    analysis: Analysis = Field(default_factory=Analysis)
    """How it is judged."""
    mirror: Mirror | None = None
    """Copies of requests for an arm."""
    pin: Pin | None = None
    """Requests that go to an arm whatever the weights."""
    affinity: Affinity | None = None
    """Clients that come back to their arm."""
    learned_noise: bool = True
    """An analysis that names no tempering has what was learned of the service."""
    calibrates: bool = False
    """Learns the noise of the service from two arms that run the same: one stage, after which no traffic stays on the canary."""

    def course(self) -> domain.Course:
        """Raises InvalidRequest."""
        return domain.Course(
            canary=self.canary,
            control=self.control,
            stages=tuple(domain.Stage(**stage.model_dump()) for stage in self.stages),
            auto_promote=self.auto_promote,
            auto_rollback=self.auto_rollback,
            interval_seconds=self.interval_seconds,
            analysis=self.analysis.spec(),
            mirror=None if self.mirror is None else traffic.Mirror(**self.mirror.model_dump()),
            pin=None if self.pin is None else traffic.Pin(**self.pin.model_dump()),
            affinity=None if self.affinity is None else traffic.Affinity(**self.affinity.model_dump()),
            learned_noise=self.learned_noise,
            calibrates=self.calibrates,
        )


class Learned(Described):
    """What a calibration has learned of a service's noise."""

    model_config = ConfigDict(from_attributes=True)

    deployment: str
    """The calibration."""
    at: datetime
    seconds: float
    """So long it has seen both arms."""
    requests: float
    tempering: Tempering
    errors: bool
    """Whether there was enough to learn the noise of errors from."""
    latency: bool
    """Whether there was enough to learn the noise of slow requests from."""


class Deployment(Described):
    """A rollout as it stands."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    service: str
    course: Course
    status: domain.DeploymentStatus
    stage: int
    """Which of the stages, from 0."""
    weight: int
    """Percent of the traffic that was last seen to go to the changed arm."""
    wanted: int
    """Percent that is to be in force."""
    moving: bool
    """Whether the router is on its way from one to the other."""
    paused: bool
    awaits: str
    """The word that a person is asked for, `promotion` or `rollback`; empty where none is."""
    reason: str
    cause: domain.Cause | None
    """Why it goes back; null where it does not."""
    revision: str
    patch: str
    """The action whose change is rolled out; empty where Penelope did not make it."""
    created_by: str
    created_at: datetime
    since: datetime | None
    """Since when the stage has its traffic."""
    looked_at: datetime | None
    ended_at: datetime | None
    noise: str
    """What noise its looks are tempered by and where that is from, or why there is none."""
    learned: Learned | None
    """What was learned by the calibration that it goes by; of a calibration what it has learned itself."""


class DeploymentPage(Described):
    """Deployments, the one that changed last first."""

    deployments: list[Deployment]
    next: str | None
    """Ask again with it as `before` for the next page; null on the last one."""


class DeploymentDetail(Described):
    """A deployment, and its last look."""

    deployment: Deployment
    look: dict[str, Any] | None
    """Figures, evidence and verdict of the last look, a reason for each metric; null before the first one."""


class DeploymentEvent(Described):
    """One entry of a deployment's history."""

    version: int
    """Its number in the history of this deployment, from 1."""
    at: datetime
    event: str
    actor: str
    reason: str
    status: str
    details: dict[str, Any]


class DeploymentEvents(Described):
    """What happened to a deployment, in order."""

    events: list[DeploymentEvent]


class WantedDeployment(Described):
    """A rollout that is to begin."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"service": "shop", "course": {"canary": "shop-b", "control": "shop-a"}, "reason": "v2"}
            ]
        },
    )

    service: Name
    course: Course
    reason: Reason
    revision: Text = ""
    """What runs in the changed arm, such as a tag or a digest."""
    patch: Text = ""
    """The id of the action whose change it is; a rollback takes that back too."""
    key: Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{0,128}$")] = ""
    """Sent again with the same key and by the same caller, it is the same deployment."""


class WantedWord(Described):
    """What is said to a deployment."""

    model_config = ConfigDict(extra="forbid")

    order: domain.Order
    reason: Reason
    stage: Annotated[int | None, Field(ge=0, le=domain.MOST_STAGES)] = None
    """The stage that a `step` is meant for: sent twice it is one step."""


class WantedRevision(Described):
    """A new revision in the changed arm."""

    model_config = ConfigDict(extra="forbid")

    revision: Annotated[Text, Field(min_length=1)]
    reason: Reason
