"""Says whether a diff stays inside its repository, before any tool is let near it."""

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from unidiff.errors import UnidiffParseError
from unidiff.patch import PatchedFile, PatchSet

from penelope.errors import InvalidPatch

MAX_BYTES = 1024 * 1024
MAX_FILES = 200
FILE_MODES = frozenset({"100644", "100755"})
_NOTHING = "/dev/null"

_HEADER = re.compile(
    r"diff --git .+"
    r"|index [0-9a-f]{4,64}\.\.[0-9a-f]{4,64}(?: (?P<mode>\d+))?"
    r"|(?:old mode|new mode|new file mode|deleted file mode) (?P<changed>\d+)"
    r"|(?:similarity|dissimilarity) index \d{1,3}%"
    r"|(?:rename|copy) (?:from|to) (?P<name>.+)"
)
_BINARY = re.compile(r"^(?:Binary files? |GIT binary patch)", re.MULTILINE)
_ESCAPE = re.compile(r'\\([abtnvfr"\\]|[0-3][0-7]{2})')
_ESCAPED = {"a": 7, "b": 8, "t": 9, "n": 10, "v": 11, "f": 12, "r": 13, '"': 34, "\\": 92}
_GIT_FOLDER = re.compile(r"\.git|git~\d+", re.IGNORECASE)
_DRIVE = re.compile(r"[A-Za-z]:")


def check(diff: str) -> tuple[str, ...]:
    """The paths that a diff touches, sorted, relative to the repository. Raises InvalidPatch."""
    files = _parse(diff)
    paths: set[str] = set()
    for file in files:
        paths.update(_names(file))
    if not paths:
        raise InvalidPatch("the diff changes no file")
    if len(paths) > MAX_FILES:
        raise InvalidPatch(f"the diff touches {len(paths)} files", hint=f"At most {MAX_FILES} are allowed.")
    return tuple(sorted(paths))


def check_path(path: str) -> str:
    """The path itself. Raises InvalidPatch unless it is plain, relative and outside of git's own folder."""
    shown = ascii(path[:120])
    if any(unicodedata.category(character)[0] == "C" for character in path):
        raise InvalidPatch(f"the path {shown} contains control or invisible characters")
    if "\\" in path or _DRIVE.match(path):
        raise InvalidPatch(f"the path {shown} is written the Windows way", hint="Separate folders with `/`.")
    for component in path.split("/"):
        plain = component.split(":")[0].rstrip(" .")
        if not plain:
            raise InvalidPatch(f"the path {shown} leaves the repository, or is not plain")
        if _GIT_FOLDER.fullmatch(plain):
            raise InvalidPatch(f"the path {shown} lies in git's own folder")
    return path


def refuse_symlinks(root: Path, paths: Iterable[str]) -> None:
    """Raises InvalidPatch when a path is a symbolic link in the working tree, or leads through one."""
    for path in paths:
        place = root
        for component in path.split("/"):
            place /= component
            if place.is_symlink():
                raise InvalidPatch(f"the path {path!a} leads through a symbolic link")


def _parse(diff: str) -> PatchSet:
    try:
        size = len(diff.encode())
    except UnicodeEncodeError:
        raise InvalidPatch("the diff is not text") from None
    if size > MAX_BYTES:
        raise InvalidPatch(f"the diff has {size} bytes", hint=f"At most {MAX_BYTES} are allowed.")
    if "\0" in diff:
        raise InvalidPatch("the diff is not text")
    if _BINARY.search(diff):
        raise InvalidPatch("the diff changes a binary file", hint="Only text can be reviewed and taken back.")
    try:
        return PatchSet.from_string(diff, metadata_only=True)
    except (UnidiffParseError, ValueError) as error:
        raise InvalidPatch(f"the diff does not parse: {str(error).strip()[:200]}") from error


def _names(file: PatchedFile) -> list[str]:
    """All paths that one file of the diff names, checked."""
    names = [_path(name, prefix) for name, prefix in ((file.source_file, "a/"), (file.target_file, "b/"))]
    for line in file.patch_info or ():
        header = _HEADER.fullmatch(line.rstrip("\n"))
        if header is None:
            raise InvalidPatch(
                f"the diff contains a line that is none of a diff: {line.rstrip()[:80]!a}",
                hint="Send the output of `git diff`, without letter or comment.",
            )
        mode = header["mode"] or header["changed"]
        if mode is not None and mode not in FILE_MODES:
            raise InvalidPatch(f"the diff makes or changes a link or a submodule (mode {mode})")
        if header["name"] is not None:
            names.append(check_path(_unquoted(header["name"])))
    return [name for name in names if name is not None]


def _path(name: str, prefix: str) -> str | None:
    name = _unquoted(name)
    if name == _NOTHING:
        return None
    if not name.startswith(prefix):
        raise InvalidPatch(
            f"the name {name[:120]!a} does not begin with {prefix}",
            hint="Make the diff with `git diff`, which writes a/ and b/ before each path.",
        )
    return check_path(name.removeprefix(prefix))


def _unquoted(name: str) -> str:
    """Undoes git's C-style quoting of a name."""
    if not name.startswith('"'):
        return name
    inner = name[1:-1]
    if len(name) < 2 or not name.endswith('"') or re.search(r'["\\]', _ESCAPE.sub("", inner)):
        raise InvalidPatch(f"the name {name[:120]!a} is quoted wrongly")
    spelled = _ESCAPE.sub(lambda match: chr(_ESCAPED.get(match[1]) or int(match[1], 8)), _latin(inner))
    try:
        return spelled.encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidPatch(f"the name {name[:120]!a} is not UTF-8") from None


def _latin(text: str) -> str:
    """The UTF-8 bytes of a text, one character each, so that escapes and letters mix."""
    return text.encode("utf-8").decode("latin-1")
