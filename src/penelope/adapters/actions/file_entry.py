"""What stands at one path, before a change and after it: read, compared, and put in place in one step."""

import base64
import binascii
import contextlib
import hashlib
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import msgspec

from penelope.adapters.actions.keep import Keep
from penelope.adapters.actions.options import read_params
from penelope.adapters.actions.rooted import Place, Root, aside_name, check_path
from penelope.domain.action import Action, Difference
from penelope.errors import ActionFailed, CompensationFailed, InvalidPlaybook
from penelope.kit.canonical import Json
from penelope.kit.codec import from_data, to_data

_MODE = re.compile(r"0?[0-7]{3}")
_MOST_LINES = 100
_LINE_CHARACTERS = 10_000


class ReplaceParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The new content of `path`: exactly one of `text`, `base64`, and `source`, another path below the root. A file that
    is not there is made only where `create` says so. What is secret comes from a `source`: parameters are recorded.
    """

    path: str
    text: str | None = None
    base64: str | None = None
    source: str | None = None
    mode: str | None = None
    create: bool = False


class Edit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Lines that are exactly `old`, of which there must be `count`, become `new`; they go where that is null."""

    old: str
    new: str | None
    count: int = 1


class EditParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All `edits` are made in one step, each on what the one before has left."""

    path: str
    edits: tuple[Edit, ...]


class ModeParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`mode` in octal digits, such as "0640"."""

    path: str
    mode: str


class LinkParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`path` becomes a link to `to`, a path relative to the link that stays below the root and is there."""

    path: str
    to: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What stands at a place. `kind` is absent, file or link; `content` the hash of a file's, `mtime` its time of change
    in nanoseconds, as text: history holds no integer as large as that.
    """

    kind: str = "absent"
    content: str = ""
    size: int = 0
    link: str = ""
    mode: str = ""
    uid: int = 0
    gid: int = 0
    mtime: str = ""

    @property
    def shape(self) -> dict[str, Json]:
        """What two entries are compared by; when a file was changed is no difference."""
        return {
            "kind": self.kind,
            "content": self.content,
            "link": self.link,
            "mode": self.mode,
            "owner": f"{self.uid}:{self.gid}",
        }


def check(operation: str, params: Mapping[str, Json]) -> None:
    """Raises InvalidPlaybook."""
    match operation:
        case "replace":
            wanted = read_params(ReplaceParams, params)
            given = [item for item in (wanted.text, wanted.base64, wanted.source) if item is not None]
            if len(given) != 1:
                raise InvalidPlaybook("give exactly one of text, base64 and source")
            if wanted.source is not None:
                check_path(wanted.source)
            _decoded(wanted)
            _check_mode(wanted.mode)
            check_path(wanted.path)
        case "edit_lines":
            edits = read_params(EditParams, params)
            check_path(edits.path)
            if not 1 <= len(edits.edits) <= _MOST_LINES:
                raise InvalidPlaybook(f"there are 1 to {_MOST_LINES} edits")
            for edit in edits.edits:
                _check_edit(edit)
        case "set_mode":
            mode = read_params(ModeParams, params)
            check_path(mode.path)
            _check_mode(mode.mode)
        case _:
            link = read_params(LinkParams, params)
            check_path(link.path)
            _led_to(link)


def _check_edit(edit: Edit) -> None:
    for line in (edit.old, edit.new or ""):
        if any(character in line for character in "\n\r\0") or len(line) > _LINE_CHARACTERS:
            raise InvalidPlaybook("an edit is about single lines of text, without their ends")
    if edit.count < 1 or not edit.old:
        raise InvalidPlaybook("an edit is about one line or more, and not about empty ones")


def _check_mode(mode: str | None) -> None:
    if mode is None:
        return
    if not _MODE.fullmatch(mode):
        raise InvalidPlaybook("a mode is three octal digits, such as 0640; set-id bits are refused")
    if int(mode, 8) & stat.S_IWOTH:
        raise InvalidPlaybook("a mode that lets anybody write is refused")


def _decoded(params: ReplaceParams) -> bytes | None:
    """The content that the parameters hold, None where it comes from a source."""
    if params.text is not None:
        try:
            return params.text.encode()
        except UnicodeEncodeError:
            raise InvalidPlaybook("the text is not UTF-8") from None
    if params.base64 is None:
        return None
    try:
        return base64.b64decode(params.base64, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidPlaybook("the content is not base64") from None


def _led_to(params: LinkParams) -> str:
    """The path below the root that a link would lead to. Raises InvalidPlaybook where it leaves it."""
    if params.to.startswith("/"):
        raise InvalidPlaybook("the link leads to an absolute path")
    parts = list(PurePosixPath(params.path).parent.parts)
    for part in params.to.split("/"):
        if part != "..":
            parts.append(part)
        elif parts:
            parts.pop()
        else:
            raise InvalidPlaybook(f"the link to {params.to[:120]!a} leaves the root")
    return check_path("/".join(parts))


class Entries:
    """Changes of single files and links: `replace`, `edit_lines`, `set_mode`, `symlink`."""

    def __init__(self, keep: Keep, most_bytes: int) -> None:
        self._keep = keep
        self._most_bytes = most_bytes

    def snapshot(self, root: Root, action: Action) -> dict[str, Json]:
        """What stands there, and what shall; both contents are kept, so that the change is one and the same ever after."""
        with root.at(str(action.params["path"])) as place:
            before, content = self.read(place, whole=action.operation != "set_mode")
            wanted, fresh = self._wanted(root, action, before, content)
        for kept in (content, fresh):
            if kept is not None:
                self._keep.put(kept)
        return {"before": to_data(before), "wanted": to_data(wanted)}

    def apply(self, root: Root, action: Action, state: Mapping[str, Json]) -> str:
        before, wanted = from_data(Entry, state["before"]), from_data(Entry, state["wanted"])
        with root.at(str(action.params["path"])) as place:
            now = self.now(place, action)
            place.beside(aside_name(action.key)).remove()
            if now.shape == wanted.shape:
                return f"{place.path} was changed before"
            if now.shape != before.shape:
                raise ActionFailed(f"{place.path!a} was changed by somebody else: {_unlike(before, now)}")
            # Its time of change is not that of before: it is changed now.
            self._put(place, now, replace(wanted, mtime=""), action.key)
            return f"{place.path} was changed"

    def give_back(self, root: Root, action: Action, state: Mapping[str, Json]) -> bool:
        """Whether there was something to give back. Raises CompensationFailed where somebody else changed it since."""
        before, wanted = from_data(Entry, state["before"]), from_data(Entry, state["wanted"])
        with root.at(str(action.params["path"])) as place:
            now = self.now(place, action)
            place.beside(aside_name(action.key)).remove()
            if now.shape == before.shape:
                return False
            if now.shape != wanted.shape:
                raise CompensationFailed(
                    f"{place.path!a} was changed by somebody else since: {_unlike(wanted, now)}",
                    hint="Look at the file; what it held before is kept by its hash in Penelope's folder.",
                )
            self._put(place, now, before, action.key)
            return True

    def differences(self, root: Root, action: Action, state: Mapping[str, Json]) -> list[Difference]:
        before = from_data(Entry, state["before"]).shape
        with root.at(str(action.params["path"])) as place:
            now = self.now(place, action).shape
        return [
            Difference(subject=key, before=before[key], now=now[key])
            for key in now
            if before[key] != now[key]
        ]

    def now(self, place: Place, action: Action) -> Entry:
        return self.read(place, whole=action.operation != "set_mode")[0]

    def read(self, place: Place, *, whole: bool) -> tuple[Entry, bytes | None]:
        """What stands at a place, and a file's content where `whole` asks for it. Raises ActionFailed for a device."""
        found = place.look()
        if found is None:
            return Entry(), None
        if stat.S_ISLNK(found.st_mode):
            return Entry(kind="link", link=os.readlink(place.name, dir_fd=place.folder)), None
        place.plain()
        content = self._content(place) if whole else None
        return Entry(
            kind="file",
            content="" if content is None else hashlib.sha256(content).hexdigest(),
            size=found.st_size if content is None else len(content),
            mode=f"{stat.S_IMODE(found.st_mode):04o}",
            uid=found.st_uid,
            gid=found.st_gid,
            mtime=str(found.st_mtime_ns),
        ), content

    def _content(self, place: Place) -> bytes:
        with os.fdopen(place.open(), "rb") as stream:
            content = stream.read(self._most_bytes + 1)
        if len(content) > self._most_bytes:
            raise ActionFailed(f"{place.path!a} is larger than {self._most_bytes} bytes")
        return content

    def _wanted(
        self, root: Root, action: Action, before: Entry, content: bytes | None
    ) -> tuple[Entry, bytes | None]:
        path = str(action.params["path"])
        if action.operation == "symlink":
            link = read_params(LinkParams, action.params)
            with root.at(_led_to(link)) as end:
                if end.look() is None:
                    raise ActionFailed(f"the link would lead to nothing: {end.path!a} is not there")
            if before.kind == "file":
                raise ActionFailed(f"{path!a} is a file, no link: it is not replaced by one")
            return Entry(kind="link", link=link.to), None
        if before.kind == "link":
            raise ActionFailed(f"{path!a} is a symbolic link, no plain file")
        if action.operation == "set_mode":
            if before.kind == "absent":
                raise ActionFailed(f"{path!a} is not there")
            return replace(before, mode=_four(read_params(ModeParams, action.params).mode)), None
        if action.operation == "edit_lines":
            fresh, mode = _edited(path, content, read_params(EditParams, action.params)), None
        else:
            wanted = read_params(ReplaceParams, action.params)
            if before.kind == "absent" and not wanted.create:
                raise ActionFailed(f"{path!a} is not there", hint="Say `create: true` to make it.")
            fresh, mode = self._given(root, wanted), wanted.mode
        if len(fresh) > self._most_bytes:
            raise ActionFailed(f"the new content is larger than {self._most_bytes} bytes")
        base = before if before.kind == "file" else Entry(mode="0640", uid=os.geteuid(), gid=os.getegid())
        return replace(
            base,
            kind="file",
            content=hashlib.sha256(fresh).hexdigest(),
            size=len(fresh),
            mode=_four(mode) if mode else base.mode,
        ), fresh

    def _given(self, root: Root, params: ReplaceParams) -> bytes:
        content = _decoded(params)
        if content is not None:
            return content
        with root.at(str(params.source)) as place:
            if place.plain() is None:
                raise ActionFailed(f"the source {place.path!a} is not there")
            return self._content(place)

    def _put(self, place: Place, now: Entry, wanted: Entry, key: str) -> None:
        """Puts an entry in place in one step: a crash leaves the old one, or the new one."""
        if wanted.kind == "absent":
            place.remove()
            return
        if wanted.kind == "file" and now.kind == "file" and now.content == wanted.content:
            _set_mode(place, wanted.mode)
            place.settle()
            return
        aside = place.beside(aside_name(key))
        if wanted.kind == "link":
            os.symlink(wanted.link, aside.name, dir_fd=aside.folder)
        else:
            with _made(aside) as descriptor:
                _write(descriptor, self._keep.get(wanted.content))
                with contextlib.suppress(PermissionError):
                    # Who may not give files away keeps them for himself; the check below says so.
                    os.fchown(descriptor, wanted.uid, wanted.gid)
                os.fchmod(descriptor, int(wanted.mode, 8))
                if wanted.mtime:
                    os.utime(descriptor, ns=(int(wanted.mtime), int(wanted.mtime)))
                made = os.fstat(descriptor)
                if (made.st_uid, made.st_gid) != (wanted.uid, wanted.gid):
                    aside.remove()
                    raise ActionFailed(
                        f"{place.path!a} belongs to somebody else: its owner could not be kept"
                    )
                os.fsync(descriptor)
        os.rename(aside.name, place.name, src_dir_fd=aside.folder, dst_dir_fd=place.folder)
        place.settle()


@contextlib.contextmanager
def _made(aside: Place) -> Iterator[int]:
    descriptor = os.open(
        aside.name,
        os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC,
        0o600,
        dir_fd=aside.folder,
    )
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _write(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def _set_mode(place: Place, mode: str) -> None:
    # By a descriptor that needs no permission to read, and never leads through a link put there meanwhile.
    descriptor = os.open(place.name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place.folder)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ActionFailed(f"{place.path!a} is no plain file any more")
        os.chmod(f"/proc/self/fd/{descriptor}", int(mode, 8))  # noqa: PTH101 - a path of the kernel's, not of a file
    finally:
        os.close(descriptor)


def _four(mode: str) -> str:
    return f"{int(mode, 8):04o}"


def _edited(path: str, content: bytes | None, params: EditParams) -> bytes:
    if content is None:
        raise ActionFailed(f"{path!a} is not there")
    lines = content.split(b"\n")
    for number, edit in enumerate(params.edits, 1):
        old = edit.old.encode()
        found = lines.count(old)
        if found != edit.count:
            raise ActionFailed(
                f"edit {number} of {path!a} is about {edit.count} lines, and {found} are there"
            )
        fresh = None if edit.new is None else edit.new.encode()
        lines = [item for item in (fresh if line == old else line for line in lines) if item is not None]
    return b"\n".join(lines)


def _unlike(wanted: Entry, now: Entry) -> str:
    """What of an entry is not as it should be, in words; contents are not shown."""
    return ", ".join(key for key, value in now.shape.items() if wanted.shape[key] != value)
