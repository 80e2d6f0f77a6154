"""How a trial bends a playbook: waits that only cost time are shortened, verification is made to fail, values are hostile."""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from penelope.domain.contract import Clause, Comparator, Contract
from penelope.domain.deployment import Course
from penelope.domain.plan import BlockKind, BlockTemplate, Parameter, Playbook, StepTemplate
from penelope.kit.canonical import Json

_HOLD_SECONDS = 0.3
_FAILS_AFTER_SECONDS = 0.2
FUZZ_VERIFY_SECONDS = 3.0
"""With a hostile value it may never heal, which is soon seen."""

_LOOK_SECONDS = 0.2
_CANARY_SECONDS = 20.0
_NEGLIGIBLE = 0.25
_NEVER = Clause(subject="metric.never_seen_by_the_kit", comparator=Comparator.AT_LEAST, expected=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bends:
    """What a trial changes of its playbook.

    `defaults` gives parameters other defaults, in place of what evidence says; `params` replaces parameters of steps:
    step, path of keys within, value. `verify_seconds` bounds the verification of the whole, None leaves it. `in_turn` has
    steps that go side by side follow each other: what one of them changes can then be seen.
    """

    fail_verification: bool = False
    in_turn: bool = False
    verify_seconds: float | None = None
    defaults: Mapping[str, Json] = field(default_factory=dict)
    params: tuple[tuple[int, tuple[str | int, ...], Json], ...] = ()


def bent(playbook: Playbook, bends: Bends) -> Playbook:
    """The playbook as a trial needs it; what it does is left alone."""
    verify = replace(playbook.verify, hold_seconds=min(playbook.verify.hold_seconds, _HOLD_SECONDS))
    if bends.verify_seconds is not None:
        verify = replace(verify, deadline_seconds=min(verify.deadline_seconds, bends.verify_seconds))
    if bends.fail_verification:
        verify = Contract(clauses=(_NEVER,), deadline_seconds=_FAILS_AFTER_SECONDS)
    playbook = replace(playbook, verify=verify, parameters=tuple(_defaulted(playbook.parameters, bends)))
    if playbook.rollout is not None:
        playbook = replace(playbook, rollout=_hurried(playbook.rollout))
    if bends.in_turn:
        playbook = replace(playbook, steps=_in_turn(playbook.steps), after=_in_turn(playbook.after))
    return _with_params(playbook, bends)


def _hurried(course: Course) -> Course:
    stages = (
        replace(
            stage,
            min_seconds=min(stage.min_seconds, _LOOK_SECONDS),
            max_seconds=min(stage.max_seconds, _CANARY_SECONDS),
        )
        for stage in course.stages
    )
    analysis = replace(
        course.analysis,
        silence_seconds=min(course.analysis.silence_seconds, _CANARY_SECONDS),
        # A trial has a hundred requests a look: how sure a promotion is must not cost it minutes.
        negligible_error_ratio=max(course.analysis.negligible_error_ratio, _NEGLIGIBLE),
        negligible_slow_ratio=max(course.analysis.negligible_slow_ratio, _NEGLIGIBLE),
    )
    return replace(
        course,
        stages=tuple(stages),
        interval_seconds=min(course.interval_seconds, _LOOK_SECONDS),
        analysis=analysis,
    )


def _in_turn(items: tuple[StepTemplate | BlockTemplate, ...]) -> tuple[StepTemplate | BlockTemplate, ...]:
    return tuple(
        item
        if isinstance(item, StepTemplate)
        else replace(
            item,
            kind=BlockKind.SEQUENCE if item.kind is BlockKind.PARALLEL else item.kind,
            steps=_in_turn(item.steps),
            otherwise=_in_turn(item.otherwise),
        )
        for item in items
    )


def _defaulted(parameters: tuple[Parameter, ...], bends: Bends) -> Iterator[Parameter]:
    for item in parameters:
        if item.name in bends.defaults:
            yield replace(item, source=None, default=bends.defaults[item.name])
        else:
            yield item


def _with_params(playbook: Playbook, bends: Bends) -> Playbook:
    if not bends.params:
        return playbook
    count = iter(range(len(playbook.every_step)))

    def walked(items: Any) -> Any:
        return tuple(
            _changed_block(item) if isinstance(item, BlockTemplate) else _changed(item) for item in items
        )

    def _changed_block(block: BlockTemplate) -> BlockTemplate:
        return replace(block, steps=walked(block.steps), otherwise=walked(block.otherwise))

    def _changed(step: StepTemplate) -> StepTemplate:
        index, params = next(count), step.params
        for wanted, path, value in bends.params:
            if wanted == index:
                params = _put(params, path, value)
        return replace(step, params=params)

    return replace(playbook, steps=walked(playbook.steps), after=walked(playbook.after))


def _put(tree: Any, path: tuple[str | int, ...], value: Json) -> Any:
    if not path:
        return value
    head, rest = path[0], tuple(path[1:])
    if isinstance(tree, Mapping):
        return {**tree, head: _put(tree[head], rest, value)}
    return [_put(item, rest, value) if index == head else item for index, item in enumerate(tree)]


def leaves(tree: Json, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Json]]:
    """The places of a value's texts, numbers and truths, and what is there."""
    if isinstance(tree, Mapping):
        for key, item in tree.items():
            yield from leaves(item, (*path, key))
    elif isinstance(tree, list | tuple):
        for index, item in enumerate(tree):
            yield from leaves(item, (*path, index))
    elif tree is not None:
        yield path, tree


# --- hostile values ---------------------------------------------------------------------------------------

_TEXTS = (
    # ways out of a folder; the world's own lies beside the canary
    (
        "../canary/kept",
        "../../canary/kept",
        "../../../canary/kept",
        "{canary}/kept",
        "{canary}/touched",
        "./../canary/touched",
        "/../../../../../../etc/hostname",
        "..%2fcanary%2fkept",
        "....//....//canary//kept",
        "file://{canary}/kept",
        "~root/.ssh/authorized_keys",
        ".git/config",
        ".GIT/hooks/post-checkout",
        "..",
        ".",
    ),
    # options and expressions of programs
    (
        "-rf",
        "--help",
        "--output={canary}/touched",
        "-oProxyCommand=touch {canary}/touched",
        "--upload-pack=touch {canary}/touched",
        "-",
        "--",
        "HEAD^{/evil}",
        "*",
        "?[a-z]*",
    ),
    # shells, queries and templates
    (
        "$(touch {canary}/touched)",
        "`touch {canary}/touched`",
        "; touch {canary}/touched #",
        "| tee {canary}/touched",
        "\ntouch {canary}/touched\n",
        "'; DROP TABLE users; --",
        '" OR "1"="1',
        "${name}",
        "$${name}",
        "{key}",
        "{0.__class__}",
        "%s%n%x",
    ),
    # characters that end, turn or hide what stands around them
    (
        "",
        " ",
        "a\x00b",
        "a\nb",
        "a\r\nX-Evil: 1",
        "\x1b[2J\x07",
        "\u202efdp.exe",
        "\ufeff\u200b",
        "\u0130\u017f\ufb01",
        "e\u0301",
        "\U0001f4a5" * 3,
    ),
    # what another reader takes for something else
    ("null", "true", "NaN", "1e999", "0x7f000001", "CON", "http://169.254.169.254/latest/meta-data/"),
    # too much
    ("a" * 5_000, "../" * 400 + "etc/hostname", "\u00e9" * 300, "a/" * 900),
)
_NUMBERS: tuple[Json, ...] = (
    -1,
    0,
    1,
    -(2**31),
    2**31,
    2**53 - 1,
    -(2**53) + 1,
    0.5,
    -0.0,
    1.0000000001,
    1e15,
    1e-300,
    -273.15,
    100_001,
)
_OTHERS: tuple[Json, ...] = (True, False, [], {}, [[]], {"a": {"b": []}}, [0, "x", None])


def hostile(draw: random.Random, like: Json, canary: str) -> Json:
    """A value that means harm, mostly of the kind of `like`; ``{canary}`` is a folder that nobody may touch."""
    chance = draw.random()
    if chance < 0.12:
        return draw.choice(_OTHERS)
    numeric = isinstance(like, int | float) and not isinstance(like, bool)
    if numeric != (chance > 0.88):
        return draw.choice(_NUMBERS)
    text = draw.choice(draw.choice(_TEXTS)).replace("{canary}", canary)
    if isinstance(like, str) and like and draw.random() < 0.3:
        cut = draw.randrange(len(like) + 1)
        text = like[:cut] + text + like[cut:]
    return text


def is_told(parameter: Parameter) -> bool:
    """Whether changes or labels give a parameter, so that the evidence itself can be made hostile."""
    return parameter.source is not None and parameter.source.startswith(("change.", "label."))


def hostile_bends(playbook: Playbook, draw: random.Random, canary: str) -> Bends:
    """Bends that replace a parameter which neither changes nor labels give (by its default), or a literal of a step."""
    parameters = [item for item in playbook.parameters if not is_told(item)]
    literals = [
        (index, path, value)
        for index, step in enumerate(playbook.every_step)
        for path, value in leaves(step.params)
        if not (isinstance(value, str) and "${" in value)
    ]
    if parameters and (not literals or draw.random() < 0.5):
        chosen = draw.choice(parameters)
        default = hostile(draw, chosen.default, canary)
        return Bends(verify_seconds=FUZZ_VERIFY_SECONDS, defaults={chosen.name: default})
    if literals:
        index, path, value = draw.choice(literals)
        made = hostile(draw, value, canary)
        if isinstance(made, str):
            made = made.replace("${", "$${")
        return Bends(verify_seconds=FUZZ_VERIFY_SECONDS, params=((index, path, made),))
    return Bends(verify_seconds=FUZZ_VERIFY_SECONDS)
