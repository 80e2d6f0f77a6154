"""Begins a rollout: what its course and its analysis can be told from a command line."""

from typing import Annotated, Any, Literal

import typer

from penelope.domain.analysis import Mode, Otherwise
from penelope.entry.cli import rollout_screens
from penelope.entry.cli.remote import ApiKey, AsJson, Server, connected

PATH = "/api/v1/deployments"
_LIMITS = ("max_error_ratio", "min_success_ratio", "max_latency_p99_increase_seconds", "min_requests")
_STAGES = ("10", "25", "50", "100")

_Arm = Annotated[str, typer.Option(metavar="ARM", help="The arm that was changed.")]
_Control = Annotated[str, typer.Option(metavar="ARM", help="The arm that it is compared with.")]
_Stages = Annotated[
    list[str] | None,
    typer.Option(
        metavar="WEIGHT",
        help="A weight in percent; `25m` waits for a person. Repeatable; 10, 25, 50, 100 by default.",
    ),
]
_StepSeconds = Annotated[float, typer.Option(min=1, help="A stage has so long for a verdict.")]
_MinStepSeconds = Annotated[
    float, typer.Option(min=0, help="A stage lasts at least so long; in the mode kayenta its interval.")
]
_Mode = Annotated[
    Mode,
    typer.Option(
        help="`sequential` judges at every look, `kayenta` once, at the end of a stage's least time."
    ),
]
_Passing = Annotated[float, typer.Option(min=0, max=100, help="Kayenta's score from which on it goes on.")]
_Marginal = Annotated[float, typer.Option(min=0, max=100, help="Kayenta's score below which it goes back.")]
_AutoPromote = Annotated[bool, typer.Option(help="Go on from stage to stage by itself.")]
_AutoRollback = Annotated[bool, typer.Option(help="Take the traffic away by itself.")]
_Every = Annotated[float, typer.Option(min=0.05, max=3600, help="Seconds between two looks.")]
_Patch = Annotated[
    str, typer.Option(metavar="ACTION", help="The action whose change it is; a rollback reverts it.")
]
_Once = Annotated[
    str, typer.Option(metavar="KEY", help="Begin it only once under this key, however often it is asked for.")
]
_Alpha = Annotated[float, typer.Option(help="Chance of a rollback of what is as good, in the whole rollout.")]
_Factor = Annotated[float, typer.Option(help="How much worse must be ruled out before a promotion.")]
_MaxErrors = Annotated[float, typer.Option(metavar="RATIO", help="Limit on errors, 0 to 1.")]
_MinSuccess = Annotated[float, typer.Option(metavar="RATIO", help="Limit on successes, 0 to 1.")]
_MaxIncrease = Annotated[
    float, typer.Option(metavar="SECONDS", help="Limit on the p99 of latency above the control's.")
]
_MinRequests = Annotated[int, typer.Option(help="Fewer on the canary are too few for a promotion.")]
_Latency = Annotated[bool, typer.Option(help="Judge latency as well as errors.")]
_SilenceSeconds = Annotated[float, typer.Option(help="Figures may be missing for so long.")]
_OnSilence = Annotated[
    Literal["rollback", "hold"], typer.Option(help="`rollback` or `hold` when they are missing for longer.")
]
_Undecided = Annotated[Otherwise, typer.Option(help="What becomes of a stage without a verdict in its time.")]
_Noise = Annotated[
    float | None,
    typer.Option(
        help="How many times more errors scatter than dice; 1 is not at all. Without it, what was learned."
    ),
]
_Mirror = Annotated[
    int | None, typer.Option(metavar="PERCENT", help="Send copies of requests to the changed arm.")
]
_PinHeader = Annotated[
    str, typer.Option(metavar="NAME=VALUE", help="Requests with this header go to the changed arm.")
]
_PinCookie = Annotated[
    str, typer.Option(metavar="NAME=VALUE", help="Requests with this cookie go to the changed arm.")
]
_Affinity = Annotated[
    str, typer.Option(metavar="COOKIE", help="Clients come back to their arm by this cookie.")
]


def start(  # noqa: PLR0913 - one option each
    context: typer.Context,
    service: Annotated[str, typer.Argument(help="A service of the catalogue.")],
    *,
    canary: _Arm,
    control: _Control,
    reason: Annotated[str, typer.Option(help="Why; it is kept in history.")],
    stage: _Stages = None,
    step_seconds: _StepSeconds = 900,
    min_step_seconds: _MinStepSeconds = 0,
    mode: _Mode = Mode.SEQUENTIAL,
    passing: _Passing = 95,
    marginal: _Marginal = 75,
    auto_promote: _AutoPromote = True,
    auto_rollback: _AutoRollback = True,
    every: _Every = 5.0,
    alpha: _Alpha = 0.05,
    factor: _Factor = 2.0,
    max_error_ratio: _MaxErrors = 0.02,
    min_success_ratio: _MinSuccess = 0.95,
    max_p99_increase: _MaxIncrease = 0.5,
    min_requests: _MinRequests = 20,
    latency: _Latency = True,
    silence_seconds: _SilenceSeconds = 120.0,
    on_silence: _OnSilence = "rollback",
    undecided: _Undecided = Otherwise.ROLLBACK,
    noise: _Noise = None,
    mirror: _Mirror = None,
    pin_header: _PinHeader = "",
    pin_cookie: _PinCookie = "",
    affinity: _Affinity = "",
    revision: Annotated[str, typer.Option(help="What runs in the changed arm.")] = "",
    patch: _Patch = "",
    once: _Once = "",
    server: Server = None,
    key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Begin a rollout: traffic goes over to the changed arm stage by stage, or back."""
    limits = (max_error_ratio, min_success_ratio, max_p99_increase, min_requests)
    plain = {"alpha": alpha, "factor": factor, "latency": latency, "undecided": undecided.value}
    silence = {"silence_seconds": silence_seconds, "on_silence": on_silence}
    judge = _judging(mode, passing, marginal, noise)
    analysis = {**plain, **silence, **judge, "limits": dict(zip(_LIMITS, limits, strict=True))}
    course = {
        "stages": [_stage(text, min_step_seconds, step_seconds) for text in stage or _STAGES],
        "auto_promote": auto_promote,
        "auto_rollback": auto_rollback,
        "interval_seconds": every,
        "analysis": analysis,
        "learned_noise": noise is None,
        "affinity": {"cookie": affinity} if affinity else None,
        **_arms(canary, control, mirror, pin_header, pin_cookie),
    }
    begun = {"service": service, "course": course, "reason": reason, "revision": revision, "patch": patch}
    with connected(context, server, key) as client:
        answer = client.post(PATH, {**begun, "key": once})
    rollout_screens.answered(answer, rollout_screens.line, as_json=as_json)


def _judging(mode: Mode, passing: float, marginal: float, noise: float | None) -> dict[str, Any]:
    """The judge of an analysis, and the tempering where one is named."""
    judge = {"mode": mode.value, "kayenta": {"passing": passing, "marginal": marginal}}
    if noise is None:
        return judge
    return {**judge, "tempering": {kind: {"factor": noise} for kind in ("errors", "latency")}}


def _arms(canary: str, control: str, mirror: int | None, header: str, cookie: str) -> dict[str, Any]:
    copies = None if mirror is None else {"arm": canary, "percent": mirror}
    return {"canary": canary, "control": control, "mirror": copies, "pin": _pin(canary, header, cookie)}


def _pin(arm: str, header: str, cookie: str) -> dict[str, Any] | None:
    found = [(kind, text) for kind, text in (("header", header), ("cookie", cookie)) if text]
    if not found:
        return None
    if len(found) > 1:
        raise typer.BadParameter("a pin goes by a header or by a cookie", param_hint="--pin-cookie")
    (kind, text), *_ = found
    name, equals, value = text.partition("=")
    if not equals:
        raise typer.BadParameter(f"{text!r} is no NAME=VALUE", param_hint=f"--pin-{kind}")
    return {"arm": arm, "value": value, kind: name}


def _stage(text: str, least: float, seconds: float) -> dict[str, Any]:
    weight = text.removesuffix("m")
    if not (weight.isascii() and weight.isdecimal() and len(weight) <= len("100")):
        raise typer.BadParameter(f"{text!r} is no weight in percent", param_hint="--stage")
    return {
        "weight": int(weight),
        "manual": text.endswith("m"),
        "min_seconds": least,
        "max_seconds": seconds,
    }
