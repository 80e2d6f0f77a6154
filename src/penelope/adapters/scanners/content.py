"""Judges what is no command: SQL, images, paths, and the keys of manifests."""

import logging
import re
from collections.abc import Iterator

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from penelope.adapters.scanners.programs import CRITICAL, INFO, WARNING, Judged
from penelope.kit.canonical import Json

# It warns of every text that turns out to be no SQL, which is most of them.
logging.getLogger("sqlglot").setLevel(logging.ERROR)

_LONGEST_SQL, _MOST_SQL = 2000, 20
"""Characters of a statement, and statements of a text, that are parsed; parsing one takes some milliseconds."""

_SQL = re.compile(
    r"(?i)\b(drop|truncate|delete\s+from|delete\s+\w+\s+from|alter\s+(table|user|role)|grant\s+\w|update\s+[\w.\"`]+\s+set)\b"
)
_SQL_COMMENT = re.compile(r"(?s)/\*.*?\*/|--[^\n]*")
_DELETES_ALL = re.compile(r"(?i)\bdelete\s+(\w+\s+)?from\s+(only\s+)?[\w.\"`]+\s*($|[;)\"'])")
_SUPERUSER = re.compile(
    r"(?i)\b(alter|create)\s+(user|role)\b[^;]{0,200}\bsuperuser\b|\bgrant\s+all\b[^;]{0,200}\*\.\*"
)
_DROPS = re.compile(
    r"(?i)\bdrop\s+(table|database|schema|user|role|tablespace|view|index)\b|\btruncate\s+(table\s+)?[\w.\"`]+\s*(;|$|cascade)"
)
_IMAGE = re.compile(
    r"(?m)(?:\b[iI]mage[\"']?\s{0,3}[:=]\s{0,3}|--image[= ]|^\s{0,8}FROM\s{1,3}|\b(?:docker|podman)\s+(?:run|pull)\s+(?:-\S+\s+)*)[\"']?((?:[\w.-]+:\d+/)?[\w./-]+(?::[\w.-]+)?(?:@sha256:[0-9a-f]{64})?)"
)
_CLIMBS = re.compile(
    r"(^|[\s=:\"'/\\])\.\.([/\\]|$)|(\.|%(25)*2e){2}(%(25)*(2f|5c))|%(25)*2e(\.|%(25)*2e)[/\\]", re.IGNORECASE
)
_PATH_KEYS = frozenset(
    {"file", "files", "filename", "directory", "folder", "destination", "dest", "release", "target_path"}
)
_POWERS = re.compile(
    r"(?i)\b(privileged|allowPrivilegeEscalation|hostNetwork|hostPID|hostIPC)[\"']?\s*[:=]\s*[\"']?true\b"
    r"|\bcluster-admin\b|\brunAsUser[\"']?\s*[:=]\s*[\"']?0\b|\bNOPASSWD\b|\bSYS_ADMIN\b|\bsetuid\b|docker\.sock\b"
    r"|\bhostPath\b[^\n]{0,40}path[\"']?\s*:\s*[\"']?/\s*$"
)
_POWER_KEYS = frozenset({"privileged", "allowprivilegeescalation", "hostnetwork", "hostpid", "hostipc"})
_TRICKS = re.compile("[\u202a-\u202e\u2066-\u2069]")
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060-\u2064\ufeff\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def of_text(text: str) -> Iterator[Judged]:
    """What a text says that is no command."""
    if _TRICKS.search(text):
        yield Judged("misleading-characters", CRITICAL)
    if _INVISIBLE.search(text):
        yield Judged("invisible-characters", WARNING)
    if _POWERS.search(text):
        yield Judged("privilege-change", CRITICAL)
    if "/dev/tcp/" in text or "/dev/udp/" in text:
        yield Judged("network-shell", CRITICAL)
    if _CLIMBS.search(text):
        yield Judged("path-escape", CRITICAL)
    for found in _IMAGE.finditer(text):
        yield from _image(found[1])
    if _SQL.search(text):
        yield from _sql(text)


def of_key(key: str, value: Json) -> Iterator[Judged]:
    """What a key and its value say together."""
    name = key.lower()
    if name in _POWER_KEYS and value is True:
        yield Judged("privilege-change", CRITICAL)
    if name == "runasuser" and value == 0:
        yield Judged("privilege-change", CRITICAL)
    if not isinstance(value, str):
        return
    if name == "image":
        yield from _image(value)
    if name in _PATH_KEYS and re.match(r"/|~|[A-Za-z]:[\\/]|\\\\", value):
        yield Judged("absolute-path", WARNING)


def _image(name: str) -> Iterator[Judged]:
    if "@sha256:" in name or name.lower() in {"", "scratch"} or name.startswith("$"):
        return
    tag = name.rpartition("/")[2].partition(":")[2]
    if tag in {"", "latest"}:
        yield Judged("unpinned-image", WARNING)
    else:
        yield Judged("image-without-digest", INFO)


def _sql(text: str) -> Iterator[Judged]:
    """By a parser where a text is SQL; what drops is found in other texts as well."""
    plain = _SQL_COMMENT.sub(" ", text)
    if _DROPS.search(plain) or _DELETES_ALL.search(plain):
        yield Judged("destroys-data", CRITICAL)
    if _SUPERUSER.search(plain):
        yield Judged("privilege-change", CRITICAL)
    statements = [item for item in plain.split(";") if _SQL.search(item)]
    if len(statements) > _MOST_SQL:
        yield Judged("too-much-to-scan", CRITICAL)
    for statement in statements[:_MOST_SQL]:
        yield from _statement(statement[:_LONGEST_SQL])


def _statement(text: str) -> Iterator[Judged]:
    try:
        parsed = sqlglot.parse_one(text)
    except (SqlglotError, RecursionError, ValueError):
        return
    changes = parsed.find_all(exp.Drop, exp.TruncateTable, exp.Delete, exp.Update)
    if any(isinstance(item, exp.Drop | exp.TruncateTable) or _reaches_all(item) for item in changes):
        yield Judged("destroys-data", CRITICAL)
    elif isinstance(parsed, exp.Grant):
        yield Judged("privilege-change", WARNING)


def _reaches_all(change: exp.Expression) -> bool:
    """Whether it has no condition, or one that looks at no column or holds one against itself."""
    where = change.args.get("where")
    if where is None:
        return True
    condition = where.this
    itself = isinstance(condition, exp.EQ) and condition.left == condition.right
    return itself or condition.find(exp.Column) is None
