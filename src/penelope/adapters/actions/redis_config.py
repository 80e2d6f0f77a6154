"""Sets a parameter of a running Redis server; it is not written to the server's file."""

import re
from typing import Any

from penelope.adapters.actions.options import read_params
from penelope.adapters.actions.redis_deed import Job, RedisDeed, State
from penelope.adapters.actions.redis_model import ConfigSetParams, check_setting
from penelope.domain.action import Difference, Effect, Preview, Progress
from penelope.errors import ActionFailed, CompensationFailed, InvalidPlaybook
from penelope.kit.canonical import Json

_UNITS = {"k": 1000, "kb": 1024, "m": 1000**2, "mb": 1024**2, "g": 1000**3, "gb": 1024**3, "b": 1}


class ConfigSet(RedisDeed):
    """`config_set`, of the names that the target's option `settings` lists."""

    shape = ConfigSetParams

    def check(self, params: Json) -> None:
        check_setting(read_params(ConfigSetParams, params).name)

    async def snapshot(self, job: Job) -> State:
        return {"setting": _given(job).name, "was": await _look(job)}

    async def preview(self, job: Job, state: State) -> Preview:
        name = _given(job).name
        return Preview(
            summary=f"{name} would be set", diff=f"-{name}: {state['was']}\n+{name}: {_wanted(job)}\n"
        )

    async def probe(self, job: Job, state: State) -> Progress:
        now = await _look(job)
        if now == _wanted(job):
            return Progress.APPLIED
        return Progress.NOT_APPLIED if now == state["was"] else Progress.UNKNOWN

    async def execute(self, job: Job, state: State) -> Effect:
        name, wanted = _given(job).name, _wanted(job)
        now = await _look(job)
        if now not in {state["was"], wanted}:
            raise ActionFailed(f"{name} was changed since it was kept")
        await job.client.config_set(name, wanted)
        if (left := await _look(job)) != wanted:
            # It could never be recognised again, so it is taken back at once.
            await job.client.config_set(name, str(state["was"]))
            raise ActionFailed(f"the server writes this value of {name} as {left!r}: write it so")
        return Effect(summary=f"{name} is {wanted}", details={"value": wanted})

    async def compensate(self, job: Job, state: State) -> Effect:
        name, now = _given(job).name, await _look(job)
        if now == state["was"]:
            return Effect(summary=f"{name} is as before", repeated=True)
        if now != _wanted(job):
            raise CompensationFailed(f"something else has set {name} since: it stays")
        await job.client.config_set(name, str(state["was"]))
        return Effect(summary=f"{name} is as before")

    async def differences(self, job: Job, state: State) -> list[Difference]:
        now = await _look(job)
        if now == state["was"]:
            return []
        return [Difference(subject=str(state["setting"]), before=state["was"], now=now)]

    async def observe(self, job: Job) -> dict[str, Json]:
        return {"value": await _look(job)}


def _given(job: Job) -> Any:
    given = read_params(ConfigSetParams, job.action.params)
    if given.name not in job.options.settings:
        raise InvalidPlaybook(f"{given.name} is not among the settings that the target lets be set")
    return given


def _wanted(job: Job) -> str:
    """Sizes as the server shows them: in bytes."""
    text = str(_given(job).value)
    match = re.fullmatch(r"([0-9]{1,15})(b|k|kb|m|mb|g|gb)", text.lower())
    return str(int(match[1]) * _UNITS[match[2]]) if match else text


async def _look(job: Job) -> str:
    name = _given(job).name
    found: dict[Any, Any] = await job.client.config_get(name)
    if len(found) != 1:
        raise ActionFailed(f"the server has no setting {name}")
    (value,) = found.values()
    return value.decode() if isinstance(value, bytes) else str(value)
