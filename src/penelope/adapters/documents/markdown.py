"""Markdown, with front matter or without, and plain text."""

import re
from pathlib import PurePath

from markdown_it import MarkdownIt

from penelope.adapters.documents.front_matter import classification_of, split
from penelope.adapters.documents.parsed import LeftOut, Parsed, Section, line, names, prose

_KINDS = ("runbook", "guide", "api", "model", "manifest", "ownership", "incident")
_FOLDERS = {
    "runbook": "runbook",
    "runbooks": "runbook",
    "playbooks": "runbook",
    "incidents": "incident",
    "postmortems": "incident",
    "post-mortems": "incident",
    "api": "api",
    "apis": "api",
}
_CLOSING = re.compile(r"[ \t]+#{1,6}[ \t]*$")
_DEEPEST = 6


def _blocks() -> MarkdownIt:
    """Blocks alone, for headings are all that is asked: what is inside lines may be built to take very long."""
    made = MarkdownIt("commonmark")
    made.core.ruler.disable("inline")
    made.block.ruler.disable("reference")
    return made


def read(text: str, path: PurePath) -> Parsed:
    """Raises LeftOut for front matter that cannot be read, and for what says nothing."""
    fields, body = split(text)
    title, sections = _sections(body)
    if not sections:
        raise LeftOut("it is empty")
    given = line(fields.get("kind") or fields.get("type")).casefold()
    folder = next(
        (_FOLDERS[name.casefold()] for name in reversed(path.parts[:-1]) if name.casefold() in _FOLDERS), ""
    )
    titled = line(fields.get("title")) or title or path.stem
    runs = "runbook" if "runbook" in titled.casefold() or "runbook" in path.stem.casefold() else ""
    return Parsed(
        kind=given if given in _KINDS else folder or runs or "guide",
        title=titled,
        sections=sections,
        classification=classification_of(fields.get("classification")),
        owner=line(fields.get("owner")),
        services=names(fields.get("services") or fields.get("service")),
    )


def plain(text: str, path: PurePath) -> Parsed:
    """Text without headings. Raises LeftOut for what says nothing."""
    if not text.strip():
        raise LeftOut("it is empty")
    first = line(text.strip().partition("\n")[0])
    title = first if len(first) <= 80 else path.stem
    return Parsed(kind="guide", title=title, sections=(Section(heading="", text=prose(text, len(text))),))


def _sections(body: str) -> tuple[str, tuple[Section, ...]]:
    """The first heading of the highest level, and the text under each heading, with the headings above it."""
    # As the parser counts lines: by line feeds alone.
    lines = body.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    tokens = _blocks().parse("\n".join(lines))
    title, above, begins = "", [""] * _DEEPEST, 0
    made: list[Section] = []

    def close(end: int) -> None:
        text = "\n".join(lines[begins:end]).strip()
        if text:
            heading = " > ".join(name for name in above if name)
            made.append(Section(heading=heading, text=prose(text, len(text))))

    for place, token in enumerate(tokens):
        if token.type != "heading_open" or token.level or token.map is None:
            continue
        close(token.map[0])
        level = int(token.tag[1:]) - 1
        name = line(_CLOSING.sub("", tokens[place + 1].content))
        if level == 0 and not title:
            title, name = name, ""
        above[level:] = [name] + [""] * (_DEEPEST - level - 1)
        begins = token.map[1]
    close(len(lines))
    if not made and title:
        made.append(Section(heading="", text=title))
    return title, tuple(made)
