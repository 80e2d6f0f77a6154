"""HTML pages: their text under their headings, without scripts, styles and navigation."""

import re
from pathlib import PurePath

from selectolax.lexbor import LexborHTMLParser

from penelope.adapters.documents.front_matter import classification_of
from penelope.adapters.documents.parsed import LeftOut, Parsed, Section, line, names, prose

_MOST_TAGS = 20_000
_LONGEST_TAG = 16 * 1024
"""The parser takes the square of both: 100,000 elements inside each other take a minute, 20,000 half a second."""

_TAG = re.compile(r"<[a-zA-Z]")
_LONG = re.compile(f"<[a-zA-Z][^>]{{{_LONGEST_TAG}}}")
_UNREAD = "script, style, noscript, template, nav, svg, iframe, object, select, head > link"
_HEADINGS = {f"h{level}": level - 1 for level in range(1, 7)}
_BLOCKS = frozenset(
    [
        "address",
        "article",
        "aside",
        "blockquote",
        "br",
        "caption",
        "dd",
        "details",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figcaption",
        "figure",
        "footer",
        "form",
        "header",
        "hr",
        "li",
        "main",
        "ol",
        "p",
        "pre",
        "section",
        "summary",
        "table",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "tr",
        "ul",
    ]
)


def read(text: str, path: PurePath) -> Parsed:
    """Raises LeftOut for what would take the parser too long, and for what says nothing."""
    if sum(1 for _ in _TAG.finditer(text)) > _MOST_TAGS:
        raise LeftOut(f"it has more than {_MOST_TAGS:,} elements")
    if _LONG.search(text):
        raise LeftOut(f"it has a tag of more than {_LONGEST_TAG // 1024} KiB")
    page = LexborHTMLParser(text)
    meta = {
        (node.attributes.get("name") or "").casefold(): node.attributes.get("content")
        for node in page.css("meta[name]")
    }
    titled = page.css_first("title")
    named = line(titled.text()) if titled is not None else ""
    for node in page.css(_UNREAD):
        node.decompose()
    first, sections = _sections(page)
    if not sections:
        raise LeftOut("it is empty")
    return Parsed(
        kind="guide",
        title=first or named or path.stem,
        sections=sections,
        classification=classification_of(meta.get("classification")),
        owner=line(meta.get("owner")),
        services=names(meta.get("services")),
    )


def _sections(page: LexborHTMLParser) -> tuple[str, tuple[Section, ...]]:
    title, above = "", [""] * len(_HEADINGS)
    pieces: list[str] = []
    made: list[Section] = []

    def close() -> None:
        text = "\n".join(filter(None, (" ".join(each.split()) for each in "".join(pieces).split("\n"))))
        pieces.clear()
        if text:
            heading = " > ".join(name for name in above if name)
            made.append(Section(heading=heading, text=prose(text, len(text))))

    inside: set[int] = set()
    root = page.body
    for node in () if root is None else root.traverse(include_text=True):
        tag = node.tag or ""
        if node.parent is not None and node.parent.mem_id in inside:
            inside.add(node.mem_id)
        elif tag in _HEADINGS:
            close()
            inside.add(node.mem_id)
            level, name = _HEADINGS[tag], line(node.text(separator=" "))
            if level == 0 and not title:
                title, name = name, ""
            above[level:] = [name] + [""] * (len(above) - level - 1)
        elif tag == "-text":
            pieces.append(node.text_content.replace("\n", " ") if node.text_content else "")
        elif tag in _BLOCKS:
            pieces.append("\n")
    close()
    return title, tuple(made)
