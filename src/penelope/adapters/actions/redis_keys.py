"""The operations on keys: what each does to one key, and how many of them go at once."""

from abc import abstractmethod
from typing import Any

from penelope.adapters.actions.options import read_params
from penelope.adapters.actions.redis_deed import Job, RedisDeed, State
from penelope.adapters.actions.redis_entries import Before, as_bytes, begin_with, digest, read, server_time
from penelope.adapters.actions.redis_model import (
    DeleteKeysParams,
    ExpireKeysParams,
    FlushPrefixParams,
    SetKeyParams,
    check_key,
)
from penelope.domain.action import Difference, Effect, Preview, Progress
from penelope.errors import ActionFailed, CompensationFailed, InvalidPlaybook, Unavailable
from penelope.kit.canonical import Json, content_hash

_SHOWN = 50
_TRIES = 5
_AT_ONCE = 200
_UNDONE, _PARTIAL, _APPLIED = b"undone", b"partial", b"applied"


class Keys(RedisDeed):
    """All its keys change at once, together with the proof, or none does."""

    @abstractmethod
    async def names(self, job: Job) -> list[bytes]:
        """The keys that it is about."""

    @abstractmethod
    def change(self, pipe: Any, before: Before, params: Any) -> None:
        """Queues what is done to one key."""

    @abstractmethod
    def left(self, before: Before, now: Before, params: Any) -> bool:
        """Whether a key is as the action leaves it."""

    required = True
    """Whether a key that is not there is none of its business."""

    async def snapshot(self, job: Job) -> State:
        befores = await read(job.client, await self.names(job))
        if self.required:
            befores = [each for each in befores if each.entry is not None]
        if not befores:
            raise ActionFailed(f"no key is there that {job.action.name!r} is about")
        return {"keys": len(befores), "kept": job.keep.put(as_bytes(befores))}

    async def preview(self, job: Job, state: State) -> Preview:
        return Preview(
            summary=f"{job.action.operation.replace('_', ' ')}: {state['keys']} keys would change",
            diff=f"-{state['keys']} keys as they are\n",
        )

    async def probe(self, job: Job, state: State) -> Progress:  # noqa: ARG002 - the proof tells
        proofs = {_APPLIED: Progress.APPLIED, _PARTIAL: Progress.PARTIAL}
        return proofs.get(await job.proven() or b"", Progress.NOT_APPLIED)

    async def execute(self, job: Job, state: State) -> Effect:
        befores, params = job.kept(state), read_params(self.shape, job.action.params)

        async def queue(pipe: Any, nows: list[Before], time: int) -> Effect | None:
            changed = [
                before for before, now in zip(befores, nows, strict=True) if not is_back(before, now, time)
            ]
            if changed:
                raise ActionFailed(f"{len(changed)} of {len(befores)} keys changed since they were kept")
            for before in befores:
                self.change(pipe, before, params)
            pipe.set(job.proof, _APPLIED, ex=job.options.proof_seconds)
            return Effect(summary=f"{len(befores)} keys changed", details={"keys": len(befores)})

        return await _at_once(job, befores, queue, unless=_APPLIED)

    async def compensate(self, job: Job, state: State) -> Effect:
        befores, params = job.kept(state), read_params(self.shape, job.action.params)

        async def queue(pipe: Any, nows: list[Before], time: int) -> Effect | None:
            if await job.proven() not in {_APPLIED, _PARTIAL}:
                return Effect(summary=f"{job.action.name} is not in effect", repeated=True)
            pairs = [
                (before, now)
                for before, now in zip(befores, nows, strict=True)
                if not is_back(before, now, time)
            ]
            strange = [before for before, now in pairs if not self.left(before, now, params)]
            if strange:
                raise CompensationFailed(
                    f"something else wrote {len(strange)} of {len(befores)} keys since: nothing was put back"
                )
            for before, now in pairs:
                _put_back(pipe, before, now)
            pipe.set(job.proof, _UNDONE, ex=job.options.proof_seconds)
            return Effect(summary=f"{len(pairs)} keys are as before", details={"keys": len(pairs)})

        return await _at_once(job, befores, queue, unless=_UNDONE)

    async def differences(self, job: Job, state: State) -> list[Difference]:
        """By number: the name of a key may be as private as its value."""
        befores = job.kept(state)
        nows, time = await read(job.client, [each.key for each in befores]), await server_time(job.client)
        return [
            Difference(
                subject=f"key {place} of {len(befores)}",
                before="there" if before.entry else "not there",
                now="not there" if now.entry is None else "there" if before.entry is None else "other",
            )
            for place, (before, now) in enumerate(zip(befores, nows, strict=True), start=1)
            if self.differs(before, now, time)
        ][:_SHOWN]

    def differs(self, before: Before, now: Before, time: int) -> bool:
        return not is_back(before, now, time)

    async def observe(self, job: Job) -> dict[str, Json]:
        nows = await read(job.client, await self.names(job))
        there = [each.entry for each in nows if each.entry is not None]
        return {
            "keys": len(there),
            "hash": content_hash([[each.key.hex(), each.digest, str(each.expires_at)] for each in there]),
        }


class DeleteKeys(Keys):
    """`delete_keys`."""

    shape = DeleteKeysParams

    def check(self, params: Json) -> None:
        given = read_params(DeleteKeysParams, params)
        if bool(given.keys) == (given.prefix is not None):
            raise InvalidPlaybook("either keys or a prefix is needed")
        for key in given.keys:
            check_key(key)
        if given.prefix is not None:
            check_key(given.prefix)

    async def names(self, job: Job) -> list[bytes]:
        given = read_params(DeleteKeysParams, job.action.params)
        if given.prefix is not None:
            return await begin_with(job.client, given.prefix, given.max_keys)
        if len(given.keys) > given.max_keys:
            raise ActionFailed(f"more than {given.max_keys} keys are listed: none is touched")
        return sorted({key.encode() for key in given.keys})

    def change(self, pipe: Any, before: Before, params: Any) -> None:  # noqa: ARG002 - a port's shape
        pipe.unlink(before.key)

    def left(self, before: Before, now: Before, params: Any) -> bool:  # noqa: ARG002 - a port's shape
        return now.entry is None


class SetKey(Keys):
    """`set_key`."""

    shape = SetKeyParams
    required = False

    def check(self, params: Json) -> None:
        check_key(read_params(SetKeyParams, params).key)

    async def names(self, job: Job) -> list[bytes]:
        return [read_params(SetKeyParams, job.action.params).key.encode()]

    def change(self, pipe: Any, before: Before, params: Any) -> None:
        pipe.set(before.key, params.value.encode(), ex=params.ttl_seconds)

    def left(self, before: Before, now: Before, params: Any) -> bool:  # noqa: ARG002 - a port's shape
        if now.entry is None:
            return params.ttl_seconds is not None
        expires = now.entry.expires_at is not None
        same = now.entry.digest == digest(b"string", params.value.encode())
        return same and expires == (params.ttl_seconds is not None)


class ExpireKeys(Keys):
    """`expire_keys`."""

    shape = ExpireKeysParams

    def check(self, params: Json) -> None:
        for key in read_params(ExpireKeysParams, params).keys:
            check_key(key)

    async def names(self, job: Job) -> list[bytes]:
        return sorted({key.encode() for key in read_params(ExpireKeysParams, job.action.params).keys})

    def change(self, pipe: Any, before: Before, params: Any) -> None:
        pipe.expire(before.key, params.ttl_seconds)

    def left(self, before: Before, now: Before, params: Any) -> bool:  # noqa: ARG002 - a port's shape
        return now.entry is None or (before.entry is not None and now.entry.digest == before.entry.digest)


class FlushPrefix(Keys):
    """`flush_prefix`: for a cache, whose owner writes it anew at any time. What it wrote since is newer than what was
    flushed, and is neither deleted nor replaced, nor a difference.
    """

    shape = FlushPrefixParams

    def check(self, params: Json) -> None:
        check_key(read_params(FlushPrefixParams, params).prefix)

    async def names(self, job: Job) -> list[bytes]:
        given = read_params(FlushPrefixParams, job.action.params)
        return await begin_with(job.client, given.prefix, given.max_keys)

    def change(self, pipe: Any, before: Before, params: Any) -> None:  # noqa: ARG002 - a port's shape
        pipe.unlink(before.key)

    def left(self, before: Before, now: Before, params: Any) -> bool:  # noqa: ARG002 - a port's shape
        return now.entry is None

    def differs(self, before: Before, now: Before, time: int) -> bool:
        return now.entry is None and not is_back(before, now, time)

    async def execute(self, job: Job, state: State) -> Effect:
        befores = job.kept(state)
        deleted = 0
        for start in range(0, len(befores), _AT_ONCE):
            deleted += await self._flush(job, befores[start : start + _AT_ONCE])
        await job.client.set(job.proof, _APPLIED, ex=job.options.proof_seconds)
        return Effect(
            summary=f"{deleted} keys deleted",
            details={"deleted": deleted, "not_there_or_written_anew": len(befores) - deleted},
        )

    async def compensate(self, job: Job, state: State) -> Effect:
        befores = job.kept(state)
        if await job.proven() not in {_APPLIED, _PARTIAL}:
            return Effect(summary=f"{job.action.name} is not in effect", repeated=True)
        back = 0
        for start in range(0, len(befores), _AT_ONCE):
            back += await self._restore(job, befores[start : start + _AT_ONCE])
        await job.client.set(job.proof, _UNDONE, ex=job.options.proof_seconds)
        return Effect(summary=f"{back} keys are back", details={"keys": back})

    async def _flush(self, job: Job, some: list[Before]) -> int:
        async def queue(pipe: Any, nows: list[Before], time: int) -> int:
            known = [
                before
                for before, now in zip(some, nows, strict=True)
                if now.entry is not None and is_back(before, now, time)
            ]
            for before in known:
                pipe.unlink(before.key)
            pipe.set(job.proof, _PARTIAL, ex=job.options.proof_seconds)
            return len(known)

        return await _piecewise(job, some, queue, self._flush)

    async def _restore(self, job: Job, some: list[Before]) -> int:
        async def queue(pipe: Any, nows: list[Before], time: int) -> int:
            gone = [before for before, now in zip(some, nows, strict=True) if self.differs(before, now, time)]
            for before in gone:
                _put_back(pipe, before, Before(before.key, None))
            pipe.set(job.proof, _PARTIAL, ex=job.options.proof_seconds)
            return len(gone)

        return await _piecewise(job, some, queue, self._restore)


def is_back(before: Before, now: Before, time: int) -> bool:
    """Whether a key is as it was; one whose time has come since is rightly gone."""
    if before.entry is None or now.entry is None:
        lapsed = before.entry is not None and (before.entry.expires_at or time + 1) <= time
        return now.entry is None and (before.entry is None or lapsed)
    return (before.entry.digest, before.entry.expires_at) == (now.entry.digest, now.entry.expires_at)


def _put_back(pipe: Any, before: Before, now: Before) -> None:
    entry = before.entry
    if entry is None:
        pipe.unlink(before.key)
    elif now.entry is not None and now.entry.digest == entry.digest:
        if entry.expires_at is None:
            pipe.persist(entry.key)
        else:
            pipe.pexpireat(entry.key, entry.expires_at)
    else:
        pipe.restore(
            entry.key,
            entry.expires_at or 0,
            entry.dump,
            replace=now.entry is not None,
            absttl=entry.expires_at is not None,
        )


async def _at_once(job: Job, befores: list[Before], queue: Any, unless: bytes) -> Effect:
    """One transaction that nobody else's write comes between. Raises Unavailable where others write all the time."""
    for _ in range(_TRIES):
        if await job.proven() == unless:
            return Effect(summary=f"{job.action.name} had come to that already", repeated=True)
        try:
            done, result = await _tried(job, befores, queue)
        except ActionFailed:
            # The keys may differ because this very action was executed beside us, after its proof was asked for.
            if await job.proven() == unless:
                continue
            raise
        if done:
            effect: Effect = result
            return effect
    raise Unavailable("others write these keys all the time")


async def _piecewise(job: Job, some: list[Before], queue: Any, again: Any) -> int:
    """Where others write among the keys, in halves; a single key that is written all the time is left to them."""
    for _ in range(_TRIES if len(some) == 1 else 1):
        done, count = await _tried(job, some, queue)
        if done:
            return int(count)
    half = len(some) // 2
    return (await again(job, some[:half]) + await again(job, some[half:])) if half else 0


async def _tried(job: Job, befores: list[Before], queue: Any) -> tuple[bool, Any]:
    from redis.exceptions import WatchError  # noqa: PLC0415 - only an installation with the extra has it

    keys = [each.key for each in befores]
    async with job.client.pipeline(transaction=True) as pipe:
        try:
            await pipe.watch(job.proof, *keys)
            nows, time = await read(job.client, keys), await server_time(job.client)
            pipe.multi()  # type: ignore[no-untyped-call] # the library leaves it so
            result = await queue(pipe, nows, time)
            if pipe.command_stack:
                await pipe.execute()
        except WatchError:
            return False, None
    return True, result
