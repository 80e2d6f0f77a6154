"""Words that say what is wanted of a thing, and words that say nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

from penelope.domain.concept import Asking, Top
from penelope.rooms.context.words import Word, words_of

FILLING = frozenset(
    word.stem
    for word in words_of(
        "a an and or the of in on at for to from by with within into as over during about across than then so per each "
        "every is are was were be been being am do does did done has have had having get got gets getting will would "
        "can could should shall may might must please thanks thank you your i me my mine we us our ours it its they "
        "them their there here this that these those what which who whose whom when where why how much many some any "
        "all show give tell list find see look know want need like let display report fetch say calculate plot compare "
        "total overall number figure value amount current currently now just only also really exactly "
        "made placed taken took given happen happened happening occurring being up out if was"
    )
)
"""Words that need no explanation: without them the question is the same."""

_EXCLUDING = (
    ("other", "than"),
    ("without",),
    ("excluding",),
    ("exclude",),
    ("except",),
    ("not",),
    ("but", "not"),
)
_GROUPING = (
    ("broken", "down", "by"),
    ("grouped", "by"),
    ("split", "by"),
    ("for", "each"),
    ("for", "every"),
    ("by", "each"),
    ("per",),
    ("by",),
    ("each",),
    ("across",),
)
_LARGEST = frozenset({"top", "best", "highest", "largest", "biggest", "greatest", "most"})
_SMALLEST = frozenset({"bottom", "worst", "lowest", "smallest", "least", "fewest"})
_MOST_TOP = 1_000

_RELATIONS: tuple[tuple[str, str], ...] = (
    ("owner_of", "which team is responsible for"),
    ("owner_of", "who is responsible for"),
    ("owner_of", "responsible for"),
    ("owner_of", "which team owns"),
    ("owner_of", "who maintains"),
    ("owner_of", "who owns"),
    ("owner_of", "owner of"),
    ("owner_of", "owned by"),
    ("owner_of", "owner"),
    ("owner_of", "owns"),
    ("blast_radius", "blast radius"),
    ("blast_radius", "what breaks if"),
    ("blast_radius", "what breaks when"),
    ("blast_radius", "what happens if"),
    ("blast_radius", "who is affected by"),
    ("blast_radius", "what is affected by"),
    ("blast_radius", "who is hurt"),
    ("blast_radius", "impact of"),
    ("upstream_causes", "upstream causes"),
    ("upstream_causes", "upstream cause"),
    ("upstream_causes", "root cause"),
    ("upstream_causes", "what caused"),
    ("changes_of", "what changed"),
    ("changes_of", "what has changed"),
    ("changes_of", "recent changes"),
    ("changes_of", "latest changes"),
    ("changes_of", "last changes"),
    ("changes_of", "changes of"),
    ("changes_of", "changes to"),
    ("incidents_of", "past incidents"),
    ("incidents_of", "previous incidents"),
    ("incidents_of", "recent incidents"),
    ("incidents_of", "incident history"),
    ("lineage_down", "built on"),
    ("lineage_down", "derived from"),
    ("lineage_down", "downstream of"),
    ("lineage_down", "who uses"),
    ("lineage_down", "what uses"),
    ("lineage_down", "used by"),
    ("lineage_up", "lineage"),
    ("lineage_up", "come from"),
    ("lineage_up", "sources of"),
    ("lineage_up", "source of"),
    ("lineage_up", "made of"),
    ("lineage_up", "upstream of"),
    ("impacted_dashboards", "which dashboards show"),
    ("impacted_dashboards", "dashboards of"),
    ("impacted_dashboards", "dashboards for"),
    ("impacted_dashboards", "dashboards with"),
    ("hosts_of", "hosts of"),
    ("hosts_of", "which hosts run"),
    ("members_of", "members of"),
    ("members_of", "who is in"),
    ("siblings", "siblings of"),
    ("depends_on", "dependencies"),
    ("depends_on", "relies on"),
    ("depends_on", "rely on"),
    ("dependents_of", "dependents"),
    ("dependents_of", "consumers of"),
)
_FAILING = frozenset(
    word.stem for word in words_of("fail fails failing down breaks goes go stops dies crashes is")
)
_TEXTS = (
    "runbook for",
    "runbook",
    "playbook",
    "documentation",
    "docs",
    "document",
    "guide",
    "instructions",
    "procedure",
    "troubleshoot",
    "troubleshooting",
    "how do i",
    "how do we",
    "how can i",
    "how to",
    "fits",
)
_MEANINGS = (
    "definition of",
    "definition",
    "meaning of",
    "define",
    "mean",
    "calculated",
    "computed",
    "explain",
    "defined",
)


@dataclass(frozen=True, slots=True)
class Intent:
    """What is wanted; `used` are the indices of the words that say so."""

    asking: Asking
    relation: str = ""
    used: frozenset[int] = frozenset()


def _phrase(text: str) -> tuple[str, ...]:
    return tuple(word.text for word in words_of(text))


_RELATED = tuple((name, _phrase(text)) for name, text in _RELATIONS)
_WRITTEN = tuple(_phrase(text) for text in _TEXTS)
_MEANT = tuple(_phrase(text) for text in _MEANINGS)


def intent_of(words: Sequence[Word], taken: frozenset[int]) -> Intent:
    """What is wanted, by the words that no long name and no time has taken."""
    texts = ["" if at in taken else word.text for at, word in enumerate(words)]
    stems = ["" if at in taken else word.stem for at, word in enumerate(words)]
    depends = _depends(words, stems)
    if depends:
        return depends
    for name, phrase in _RELATED:
        at = _find(texts, phrase)
        if at is not None:
            used = set(range(at, at + len(phrase)))
            if name == "blast_radius":
                used.update(index for index, stem in enumerate(stems) if stem in _FAILING)
            return Intent(Asking.RELATION, name, frozenset(used))
    for asking, phrases in ((Asking.TEXT, _WRITTEN), (Asking.MEANING, _MEANT)):
        used = {
            index
            for phrase in phrases
            if (at := _find(texts, phrase)) is not None
            for index in range(at, at + len(phrase))
        }
        if used:
            return Intent(asking, used=frozenset(used))
    return Intent(Asking.FIGURE)


def _depends(words: Sequence[Word], stems: Sequence[str]) -> Intent | None:
    """What stands before "depend on" depends; where something follows, it is asked who depends on that."""
    for at, stem in enumerate(stems[:-1]):
        # The "on" may have been taken for that of "on Monday".
        if stem in {"depend", "depending", "dependent"} and words[at + 1].text in {"on", "upon"}:
            follows = any(stem and stem not in FILLING for stem in stems[at + 2 :])
            relation = "dependents_of" if follows else "depends_on"
            return Intent(Asking.RELATION, relation, frozenset({at, at + 1}))
    return None


def _find(texts: Sequence[str], phrase: tuple[str, ...]) -> int | None:
    for at in range(len(texts) - len(phrase) + 1):
        if tuple(texts[at : at + len(phrase)]) == phrase:
            return at
    return None


def excluding(words: Sequence[Word], at: int) -> int:
    """How many of the words before that place say "without"."""
    place = at
    while place > 0 and words[place - 1].text in {"the", "any", "orders", "from", "in"}:
        place -= 1
    for phrase in _EXCLUDING:
        first = place - len(phrase)
        if first >= 0 and tuple(word.text for word in words[first:place]) == phrase:
            return at - first
    return 0


def grouping_mark(words: Sequence[Word], at: int) -> int:
    """How many words from that place on say "broken down by"."""
    for phrase in _GROUPING:
        if tuple(word.text for word in words[at : at + len(phrase)]) == phrase:
            return len(phrase)
    return 0


def grouping_words(words: Sequence[Word], taken: frozenset[int]) -> frozenset[int]:
    """The words of "broken down by" and its like, which are no part of a name."""
    return frozenset(
        place
        for at in range(len(words))
        if (length := grouping_mark(words, at)) > 1 and not taken.intersection(range(at, at + length))
        for place in range(at, at + length)
    )


def top_of(words: Sequence[Word], taken: frozenset[int]) -> tuple[Top, frozenset[int], bool] | None:
    """The first so many that were asked for, the words that say so, and whether their number was said."""
    for at, word in enumerate(words):
        if at in taken or word.text not in _LARGEST | _SMALLEST:
            continue
        largest = word.text in _LARGEST
        for place in (at + 1, at - 1):
            digits = words[place].text if 0 <= place < len(words) and place not in taken else ""
            if digits.isascii() and digits.isdigit() and len(digits) <= 4 and 1 <= int(digits) <= _MOST_TOP:
                return Top(count=int(digits), largest=largest), frozenset({at, place}), True
        if word.text in {"top", "bottom"} or words[at - 1 if at else 0].text in {"the", "with", "has"}:
            return Top(count=10, largest=largest), frozenset({at}), False
    return None
