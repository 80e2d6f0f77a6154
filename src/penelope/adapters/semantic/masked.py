"""Masks as SQL of DuckDB, with the same outcome as `penelope.domain.masking.mask`."""

from collections.abc import Sequence
from hashlib import sha256

from penelope.adapters.semantic.render import Parameters
from penelope.domain.access import Masking
from penelope.domain.masking import HASH_CHARACTERS, PARTIAL_CHARACTERS, PARTIAL_SIGN
from penelope.errors import InvalidQuery

_BLOCK = 64
_FRACTIONS = ("DECIMAL", "FLOAT", "DOUBLE")
_TIMES = ("TIMESTAMP", "DATE")


def cells(
    names: Sequence[str],
    types: Sequence[str],
    masks: Sequence[Masking | None],
    key: bytes,
    parameters: Parameters,
) -> list[str]:
    """The columns of a query's rows, those with a mask masked. The key goes into parameters, never into the text."""
    pads: tuple[str, str] | None = None
    found: list[str] = []
    for name, kind, masking in zip(names, types, masks, strict=True):
        match masking:
            case None:
                found.append(name)
            case Masking.NULL:
                found.append("NULL")
            case Masking.PARTIAL:
                found.append(_partial(_text(name, kind)))
            case Masking.HASH:
                pads = pads or _pads(key, parameters)
                inner = f"unhex(sha256({pads[0]} || encode({_text(name, kind)})))"
                found.append(f"left(sha256({pads[1]} || {inner}), {HASH_CHARACTERS})")
    return found


def _pads(key: bytes, parameters: Parameters) -> tuple[str, str]:
    """HMAC (RFC 2104) is two hashes, each over the key with a pad and what comes next."""
    if not key:
        raise InvalidQuery("a mask by hash needs a key", hint="Set semantic.mask_key.")
    block = (sha256(key).digest() if len(key) > _BLOCK else key).ljust(_BLOCK, b"\x00")
    inner, outer = (bytes(byte ^ pad for byte in block) for pad in (0x36, 0x5C))
    return f"{parameters.add(inner)}::BLOB", f"{parameters.add(outer)}::BLOB"


def _partial(text: str) -> str:
    return f"'{PARTIAL_SIGN}' || right({text}, least({PARTIAL_CHARACTERS}, CAST(length({text}) // 4 AS INTEGER)))"


def _text(name: str, kind: str) -> str:
    """The text of a value as it leaves us."""
    if kind.startswith(_TIMES):
        return f"strftime(CAST({name} AS TIMESTAMP), '%Y-%m-%dT%H:%M:%S.%g')"
    if kind.startswith(_FRACTIONS):
        number = f"CAST({name} AS DOUBLE)"
        whole = f"CAST(TRY_CAST({number} AS HUGEINT) AS VARCHAR)"
        return f"CASE WHEN {number} = trunc({number}) THEN {whole} ELSE CAST({number} AS VARCHAR) END"
    return f"CAST({name} AS VARCHAR)"
