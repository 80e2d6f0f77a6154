"""Takes secrets out of whatever is about to be shown or kept, in all the forms that they usually take."""

import html
import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import quote, quote_plus

from penelope.adapters.secrets.resolve import SHORTEST
from penelope.kit.canonical import Json

_LONG_LINE = 16
_DEEPEST = 64
_BARE_IN_SCRIPTS = "!*'()"
"""What JavaScript's encodeURIComponent leaves as it is, beside what all do."""

_GO_IN_JSON = str.maketrans({letter: f"\\u{ord(letter):04x}" for letter in "<>&\u2028\u2029"})
_QUOTATION_MARKS = (('"', "'"), ("&quot;", "&#x27;"), ("&quot;", "&#039;"), ("&#34;", "&#39;"))


class Redaction:
    """Replaces each secret by its reference in brackets, so that two secrets stay apart. Encodings that are known:
    base64 (also amid other bytes, as in a Basic header), URL, JSON, HTML, hexadecimal, Python's own, and each long line
    of a secret of several lines.
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        marks = {
            form: f"[{reference}]"
            for reference, value in sorted(values.items(), reverse=True)
            for form in _forms(value)
            if len(form) >= SHORTEST
        }
        longest_first = sorted(marks, key=lambda form: (-len(form), form))
        self._marks = {form.casefold(): mark for form, mark in marks.items()}
        self._pattern = re.compile("|".join(map(re.escape, longest_first)), re.IGNORECASE)

    def text(self, text: str) -> str:
        if not self._marks:
            return text
        return self._pattern.sub(lambda found: self._marks.get(found[0].casefold(), "[secret]"), text)

    def shows(self, value: Json) -> bool:
        """Whether a secret stands anywhere in a value."""
        return bool(self.value(value) != value)

    def value(self, value: Json, depth: int = 0) -> Json:
        """The same value without secrets, in keys and in numbers too."""
        if depth > _DEEPEST:
            return "[nests too deeply to be looked through]"
        if isinstance(value, Mapping):
            return {self.value(key, depth + 1): self.value(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(item, depth + 1) for item in value]
        return self._single(value)

    def _single(self, value: Json) -> Json:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, bytes):
            return self.text(value.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
        if isinstance(value, int | float) and not isinstance(value, bool):
            shown = self.text(str(value))
            return value if shown == str(value) else shown
        return value


def _forms(secret: str) -> Iterator[str]:
    lines = [line.strip() for line in secret.splitlines() if len(line.strip()) >= _LONG_LINE]
    for text in {secret, secret.strip(), *lines}:
        data = text.encode("utf-8", "surrogatepass")
        yield from (
            text,
            quote(data, safe=""),
            quote(data),
            quote_plus(data),
            quote(data, safe=_BARE_IN_SCRIPTS),
        )
        yield from (repr(text)[1:-1], repr(data)[2:-1], data.hex(), *_within_json(text), *_within_html(text))
        for encode in (b64encode, urlsafe_b64encode):
            yield from _within_base64(data, encode)


def _within_json(text: str) -> Iterator[str]:
    """As Python and most others write it, as Go does (Vault, Kubernetes, Prometheus), and as PHP does."""
    for written in (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]):
        yield from (written, written.translate(_GO_IN_JSON), written.replace("/", "\\/"))


def _within_html(text: str) -> Iterator[str]:
    """In an attribute or in a text, with the names or the numbers that frameworks give to quotation marks."""
    plain = html.escape(text, quote=False)
    for double, single in _QUOTATION_MARKS:
        yield plain.replace('"', double).replace("'", single)


def _within_base64(data: bytes, encode: Callable[[bytes], bytes]) -> Iterator[str]:
    """What stays the same of the encoding, at whichever of the three offsets the secret stands in what is encoded."""
    for offset in range(3):
        encoded = encode(b"\0" * offset + data).decode("ascii").rstrip("=")
        first = (0, 2, 3)[offset]
        # The last character also holds bits of what follows, unless the secret ends with a group of three bytes.
        last = len(encoded) - (1 if (offset + len(data)) % 3 else 0)
        yield encoded[first:last]
