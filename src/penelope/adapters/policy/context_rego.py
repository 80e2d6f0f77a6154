"""Policies of access in Rego, by the embedded evaluator; the same files run on an OPA server."""

import asyncio
import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import orjson

from penelope.adapters.policy.access_document import access_of, batches, denied, document
from penelope.adapters.policy.evaluator import evaluator, sources_of
from penelope.adapters.policy.load import files_required
from penelope.adapters.policy.rego import ASKED, engine_of, read_rego
from penelope.adapters.policy.sight import Sight, sight_of
from penelope.adapters.yaml_source import Problem
from penelope.domain.access import Access, AccessQuestion, Asset, Classification, Subject, Verb
from penelope.errors import InvalidPolicy
from penelope.kit.canonical import Json

PACKAGE = "data.penelope.context"
"""Defines `allow`, `row_filters`, `masks` and `reasons`."""

BATCH_PACKAGE = "data.penelope.context_batch"
"""Asks it many questions at once; ships with Penelope."""

SLOWEST_SECONDS, SLOWEST_COLUMN_SECONDS = 0.05, 0.0002
"""Processor time that one question may take, and that it may take more for each column; later on average in a batch."""

_AT_ONCE, _COLUMNS_AT_ONCE = 16, 400
"""Questions, and columns of their assets together, between which nothing else runs on the event loop: some 10 ms."""

_REMEMBERED = 16_384
_SIZES = (0, 1, 2, 4, 8, 16, 64, 200)
"""Columns of the assets that policies are tried with at load."""


class EmbeddedGovernor:
    """Fulfils Discerning. A policy that is undefined, breaks, is slow or answers in another shape denies.

    Answers are remembered by what the policy can tell apart of a question: it reads nothing else (see the lint), and files
    are read once. `counted` is told how many answers of a batch were remembered, and how many were not.
    """

    def __init__(self, sources: Sequence[tuple[str, str]], sight: Sight | None = None) -> None:
        self._sources = tuple(sources)
        self._sight = sight or Sight()
        self._turn = threading.Lock()
        self._known: OrderedDict[Hashable, Access] = OrderedDict()
        self.counted: Callable[[int, int], None] = _uncounted

    async def judge(self, questions: Sequence[AccessQuestion]) -> Sequence[Access]:
        answers: list[Access] = []
        for number, batch in enumerate(batches(questions, _AT_ONCE, _COLUMNS_AT_ONCE)):
            if number:
                await asyncio.sleep(0)
            answers += self._judged(batch)
        return answers

    def alike(self, asset: Asset) -> Hashable:
        try:
            return self._sight.of_asset(
                document(AccessQuestion(subject=_ANYBODY, verb=Verb.READ, asset=asset))["asset"]
            )
        except (ValueError, AttributeError, TypeError):
            # Denied whatever the policy says, and so are all of its kind.
            return None

    def _judged(self, questions: Sequence[AccessQuestion]) -> list[Access]:
        answers: dict[int, Access] = {}
        asked: dict[int, tuple[Hashable, Json]] = {}
        for index, question in enumerate(questions):
            try:
                given = document(question)
            except (ValueError, AttributeError, TypeError) as error:
                answers[index] = denied(str(error) if type(error) is ValueError else "it is no question")
                continue
            key = self._key(given)
            with self._turn:
                known = self._known.get(key)
            if known is None:
                asked[index] = (key, given)
            else:
                answers[index] = known
        self.counted(len(answers), len(asked))
        if asked:
            found = self.decisions([given for _, given in asked.values()])
            for (index, (key, _)), answer in zip(asked.items(), found, strict=True):
                answers[index] = self._kept(key, _access(answer, questions[index].asset))
        return [answers[index] for index in range(len(questions))]

    def _key(self, given: Mapping[str, Any]) -> Hashable:
        subject, asset = given["subject"], given["asset"]
        columns = b""
        if asset["columns"]:
            told = orjson.dumps(asset["columns"], option=orjson.OPT_SORT_KEYS)
            columns = blake2b(told, digest_size=16).digest()
        seen = self._sight.of_question(subject, asset)
        return (*subject.values(), given["verb"], columns, *seen)

    def _kept(self, key: Hashable, access: Access) -> Access:
        if not access.failed:
            with self._turn:
                self._known[key] = access
                if len(self._known) > _REMEMBERED:
                    self._known.popitem(last=False)
        return access

    def decisions(self, documents: Sequence[Json]) -> Sequence[Json | Access]:
        """What the policy says to documents, each as JSON: None where nothing, an Access that says why where it failed."""
        engine = evaluator(self._sources)
        began = time.thread_time()
        try:
            engine.set_input_json(json.dumps({"questions": list(documents)}))
            found = json.loads(engine.eval_rule_as_json(f"{BATCH_PACKAGE}.decisions"))
        except (RuntimeError, ValueError) as error:
            return [denied(f"the evaluation broke ({type(error).__name__})")] * len(documents)
        took, limit = time.thread_time() - began, sum(map(_limit_seconds, documents))
        if took > limit:
            slow = f"it took longer than {limit / len(documents) * 1000:.0f} ms a question"
            return [denied(slow)] * len(documents)
        return said(found, len(documents))


def _uncounted(_known: int, _asked: int) -> None:
    pass


_ANYBODY = Subject(actor="", role="")


def _limit_seconds(document: Json) -> float:
    asset = document.get("asset") if isinstance(document, dict) else None
    columns = asset.get("columns") if isinstance(asset, dict) else None
    return SLOWEST_SECONDS + SLOWEST_COLUMN_SECONDS * (len(columns) if isinstance(columns, dict) else 0)


def said(found: Json, count: int) -> Sequence[Json]:
    """The decisions of a batch in the order of its questions; None for those of which nothing is said."""
    if not isinstance(found, dict):
        return [None] * count
    return [found.get(str(index)) for index in range(count)]


def _access(answer: Json | Access, asset: Asset) -> Access:
    return answer if isinstance(answer, Access) else access_of(answer, asset.columns.keys())


def shipped_folder() -> Path:
    """The policies that come with Penelope: inside the installed package, or beside `src` in a checkout."""
    package = Path(__file__).resolve().parents[2]
    installed = package / "_policies"
    return installed if installed.is_dir() else package.parents[1] / "policies"


def load_governor(paths: Sequence[Path]) -> EmbeddedGovernor:
    """The policy of files and folders, by default the shipped one. Raises InvalidPolicy naming ``file:line:column``."""
    files = files_required(paths, "*.rego") if paths else [shipped_folder() / "context.rego"]
    governor, problems = read_governor(files)
    if governor is None:
        raise InvalidPolicy("\n".join(map(str, problems)))
    return governor


def read_governor(files: Sequence[Path]) -> tuple[EmbeddedGovernor | None, list[Problem]]:
    """The policy, or None and every mistake that was found."""
    batch = shipped_folder() / "context_batch.rego"
    own = [file for file in files if not _is(file, batch)]
    engine, packages, problems = engine_of([*own, batch])
    if not problems and BATCH_PACKAGE in engine_of(own)[1]:
        name = BATCH_PACKAGE[5:]
        problems = [Problem(str(own[0]), 1, 1, f"the package {name} belongs to Penelope: leave it out")]
    if not problems and PACKAGE not in packages:
        where = str(files[0]) if files else str(batch)
        problems = [Problem(where, 1, 1, f"none of the files is of the package {PACKAGE[5:]}")]
    governor = EmbeddedGovernor(())
    if not problems:
        trees = json.loads(engine.get_ast_as_json())
        theirs = [tree for tree in trees if tree["source"]["file"] != str(batch)]
        governor = EmbeddedGovernor(sources_of(engine), sight_of(theirs))
    if not problems:
        problems = _tried(governor, next(str(file) for file in files))
    return (None if problems else governor), sorted(problems)


def linted(files: Sequence[Path]) -> tuple[int, list[Problem]]:
    """How many policies of both kinds, of plans and of access, are in files of Rego, and every mistake in them."""
    _, packages, problems = engine_of(files)
    if problems or not files:
        return 0, sorted(problems)
    access, count = PACKAGE in packages, 0
    if access:
        problems += read_governor(files)[1]
        count += 1
    if not access or any(package.startswith(ASKED) for package in packages):
        rego, more = read_rego(files)
        problems += more
        count += len(rego or ())
    return count, sorted(problems)


def _is(file: Path, other: Path) -> bool:
    """Whether a file is a copy of another."""
    try:
        return file.name == other.name and file.read_bytes() == other.read_bytes()
    except OSError:
        return False


def _tried(governor: EmbeddedGovernor, file: str) -> list[Problem]:
    """Asks about larger and larger assets, so that what would explode is stopped while it is small."""
    classes = list(Classification)
    for size in _SIZES:
        columns = {f"sales.column_{number}": classes[number % len(classes)] for number in range(size)}
        columns |= {"sales.region": Classification.INTERNAL}
        for role in ("admin", "analyst", "nobody"):
            found = _example(governor, role, columns)
            if found.failed:
                advice = f"{PACKAGE[5:]} needs allow, row_filters, masks and reasons"
                return [Problem(file, 1, 1, f"{found.failed} (an asset of {len(columns)} columns); {advice}")]
    return []


def _example(governor: EmbeddedGovernor, role: str, columns: Mapping[str, Classification]) -> Access:
    asset = Asset(
        name="sales", kind="cube", classification=Classification.INTERNAL, owner="team", columns=columns
    )
    subject = Subject(actor="example", role=role, region="APAC", purpose="analysis")
    question = document(AccessQuestion(subject=subject, verb=Verb.READ, asset=asset))
    return _access(governor.decisions([question])[0], asset)
