"""Walks the course of a plan: in order, side by side, under conditions, and waiting for what must come true."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from penelope.domain.action import Action
from penelope.domain.contract import ClauseState, Contract, Verdict
from penelope.domain.plan import Node, NodeKind, Plan
from penelope.domain.work import Change
from penelope.flow import records
from penelope.flow.acting import Acting, Done
from penelope.flow.checking import Question, verify
from penelope.flow.engine import Chapter, Engine
from penelope.flow.parts import Parts
from penelope.flow.ports import Transaction
from penelope.kit.canonical import Json
from penelope.kit.codec import from_data, to_data
from penelope.rooms.verify.run import look

BRANCH = "branch"
"""The chapter that goes through one branch of what is done side by side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Part of a plan's course, with the actions that it may come to by their keys; `service` is that of the plan."""

    service: str
    nodes: tuple[Node, ...]
    actions: Mapping[str, Action]


@dataclass(frozen=True, slots=True, kw_only=True)
class Travelled:
    """What was done, in the order in which targets were had, and what went wrong, if anything did."""

    done: tuple[Done, ...] = ()
    trouble: str = ""


def stretch_of(plan: Plan, actions: Sequence[Action], course: Sequence[Node]) -> Stretch:
    """A section of a plan: its course, or one action after the other where it has none."""
    nodes = tuple(course) or tuple(
        Node(kind=NodeKind.ACTION, key=action.key, name=action.name) for action in actions
    )
    return Stretch(service=plan.service, nodes=nodes, actions={action.key: action for action in actions})


def branch_chapter(engine: Engine, parts: Parts) -> Chapter:
    """The chapter that takes a stretch and gives what was done on it."""

    async def branch(incident: str, given: Json) -> Json:
        stretch = from_data(Stretch, given)
        return to_data(await Journey(engine, parts, incident, stretch).go())

    return branch


class Journey:
    """Goes through one stretch for an incident."""

    def __init__(self, engine: Engine, parts: Parts, incident: str, stretch: Stretch) -> None:
        self._engine = engine
        self._parts = parts
        self._incident = incident
        self._stretch = stretch
        self._acting = Acting(engine, parts, incident)
        self._done: list[Done] = []

    async def go(self) -> Travelled:
        """To its end, or to the first trouble. Whatever breaks, what was done is told, so that it can be taken back."""
        try:
            trouble = await self._through(self._stretch.nodes)
        except Exception as error:  # noqa: BLE001 - a fault here must not hide what was done before it
            trouble = f"Penelope failed: {type(error).__name__}: {error}"
        return Travelled(done=tuple(self._done), trouble=trouble)

    async def _through(self, nodes: Sequence[Node]) -> str:
        for node in nodes:
            if trouble := await self._visit(node):
                return trouble
        return ""

    async def _visit(self, node: Node) -> str:
        match node.kind:
            case NodeKind.ACTION:
                return await self._act(self._stretch.actions[node.key])
            case NodeKind.SEQUENCE:
                return await self._through(node.children)
            case NodeKind.PARALLEL:
                return await self._side_by_side(node)
            case NodeKind.CONDITION:
                return await self._choose(node)
            case NodeKind.WAIT:
                return await self._wait(node)

    async def _act(self, action: Action) -> str:
        self._done.append(await self._acting.act(action))
        trouble = self._done[-1].trouble
        return f"{action.name}: {trouble}" if trouble else ""

    async def _side_by_side(self, node: Node) -> str:
        """Each child is a branch of its own. One in trouble does not cut the others short: all come to an end that is
        known, and are then taken back together.
        """
        parts = {f"{self._incident}:{child.key}:branch": self._part(child) for child in node.children}
        given = {key: to_data(part) for key, part in parts.items()}
        ended = await self._engine.beside(BRANCH, self._incident, given)
        travelled = [
            from_data(Travelled, ended[key]) if key in ended else _broken(part) for key, part in parts.items()
        ]
        # In the order in which targets were had: what shares a target must be taken back in the reverse of that.
        self._done += sorted(
            (done for item in travelled for done in item.done), key=lambda done: done.leased_at
        )
        return "; ".join(item.trouble for item in travelled if item.trouble)

    def _part(self, child: Node) -> Stretch:
        keys = set(_action_keys(child))
        actions = {key: action for key, action in self._stretch.actions.items() if key in keys}
        return Stretch(service=self._stretch.service, nodes=(child,), actions=actions)

    async def _choose(self, node: Node) -> str:
        """What cannot be seen decides nothing."""
        if node.condition is None:
            return f"{node.name} has no condition"
        contract = node.condition
        seen = await self._engine.step(f"look {node.name}", lambda: self._look(contract))
        verdict = from_data(Verdict, seen)
        unseen = [item.clause.subject for item in verdict.results if item.state is ClauseState.UNKNOWN]
        await self._judged(node, verdict, unseen)
        if unseen:
            return f"{node.name}: it cannot be seen ({', '.join(unseen)})"
        return await self._through(node.children if verdict.passed else node.otherwise)

    async def _look(self, contract: Contract) -> Json:
        now = self._parts.clock.now()
        window = self._parts.timing.window_seconds
        verdict = await look(
            contract,
            self._parts.service(self._stretch.service),
            None,
            self._parts.metrics,
            None,
            since=now - timedelta(seconds=window),
            window_seconds=window,
            now=now,
        )
        return to_data(verdict)

    async def _judged(self, node: Node, verdict: Verdict, unseen: Sequence[str]) -> None:
        status = "unseen" if unseen else ("holds" if verdict.passed else "does_not_hold")
        change = Change(
            unit=f"{self._incident}:{node.key}:condition",
            kind="condition",
            incident=self._incident,
            status=status,
            attributes={**to_data(verdict), "of": node.name},
            event="ConditionJudged",
            actor=records.PENELOPE,
            reason=f"{node.name}: {status.replace('_', ' ')}",
            details={"of": node.name, "holds": verdict.passed},
        )

        async def body(transaction: Transaction) -> Json:
            await transaction.save(change)

        await self._engine.transaction(f"judged {node.name}", body)

    async def _wait(self, node: Node) -> str:
        if node.condition is None:
            return f"{node.name} has no condition"
        since = await self._engine.transaction(f"wait for {node.name}", _moment)
        question = Question(
            unit=f"{self._incident}:{node.key}:wait",
            label=node.name,
            incident=self._incident,
            contract=node.condition,
            service=self._parts.service(self._stretch.service),
            since=datetime.fromisoformat(since),
        )
        verdict = await verify(self._engine, self._parts, question)
        missed = ", ".join(item.clause.subject for item in verdict.drift)
        return "" if verdict.passed else f"{node.name}: it did not come true in time ({missed})"


def _broken(stretch: Stretch) -> Travelled:
    """Of a branch that broke off nobody knows how far it came."""
    trouble = "its branch broke off"
    done = tuple(
        Done(action=action, trouble=trouble, unknown=True, broke=True) for action in stretch.actions.values()
    )
    return Travelled(done=done, trouble=f"{stretch.nodes[0].name}: {trouble}")


async def _moment(transaction: Transaction) -> Json:
    return transaction.now().isoformat()


def _action_keys(node: Node) -> list[str]:
    if node.kind is NodeKind.ACTION:
        return [node.key]
    return [key for child in (*node.children, *node.otherwise) for key in _action_keys(child)]
