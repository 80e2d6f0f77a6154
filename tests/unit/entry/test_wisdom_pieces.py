"""A file of past incidents is sent in pieces that the server can take one by one."""

from pathlib import Path

import pytest

from penelope.entry.cli.wisdom import _BATCH_LINES, _batches

LINE = b'{"service": "shop"}\n'


def numbered(tmp_path: Path, content: bytes) -> list[tuple[int, int]]:
    """The number of the first line of each piece, and its incidents."""
    file = tmp_path / "past.jsonl"
    file.write_bytes(content)
    return [(first, lines.count(LINE)) for first, lines in _batches(file)]


@pytest.mark.parametrize(
    ("content", "pieces"),
    [
        (LINE, [(1, 1)]),
        (LINE * (_BATCH_LINES + 1), [(1, _BATCH_LINES), (_BATCH_LINES + 1, 1)]),
        # What would be refused for holding no incident is not sent, as long as the file holds any.
        (LINE * _BATCH_LINES + b"\n", [(1, _BATCH_LINES)]),
        (b"\n" * _BATCH_LINES + LINE, [(_BATCH_LINES + 1, 1)]),
        (b"\n" * _BATCH_LINES + b" \n", [(_BATCH_LINES + 1, 0)]),
        (b"", [(1, 0)]),
    ],
)
def test_pieces_hold_all_incidents(tmp_path: Path, content: bytes, pieces: list[tuple[int, int]]) -> None:
    assert numbered(tmp_path, content) == pieces
