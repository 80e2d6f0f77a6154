"""Evaluators of Rego, kept by the thread that made them."""

import threading
from collections import OrderedDict

import orjson
import regorus

Sources = tuple[tuple[str, str], ...]
"""Names and texts of files."""

_MOST_KEPT = 8
"""Evaluators of a thread: a server has two sets of files, and a megabyte or two for each."""


class _Mine(threading.local):
    def __init__(self) -> None:
        self.kept: OrderedDict[Sources, regorus.Engine] = OrderedDict()


_mine = _Mine()


def evaluator(sources: Sources) -> regorus.Engine:
    """The evaluator of these files, which must be sound, for whichever thread asks.

    Only the thread that made one may use it, and drop it: so it is kept by the thread and by nothing else. What holds one
    itself may become garbage that another thread collects.
    """
    kept = _mine.kept
    engine = kept.get(sources)
    if engine is None:
        engine = regorus.Engine()
        for name, text in sources:
            engine.add_policy(name, text)
        kept[sources] = engine
        if len(kept) > _MOST_KEPT:
            kept.popitem(last=False)
    kept.move_to_end(sources)
    return engine


def sources_of(engine: regorus.Engine) -> Sources:
    """The files that an evaluator was given."""
    trees = orjson.loads(engine.get_ast_as_json())
    return tuple((tree["source"]["file"], tree["source"]["contents"]) for tree in trees)
