"""Encoders in the ONNX format, run by onnxruntime: the extra ``pointsman[onnx]``.

Read as sentence-transformers exports it: a directory with ``model.onnx`` or ``onnx/model.onnx``, ``tokenizer.json``,
and maybe ``1_Pooling/config.json``. Libraries are imported by whoever uses one, and by nobody else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
import numpy as np

from pointsman.ml.base import Floats
from pointsman.ml.embedders.base import TINY, Contents, NoEmbedder, fingerprint, of_length_one

VERSION = "onnx-1"
EXTRA = "install the extra: pip install 'pointsman[onnx]'"
HINT = "name a directory with model.onnx and tokenizer.json, as sentence-transformers exports it"
MAX_MODEL_BYTES = 2 << 30
MAX_TOKENIZER_BYTES = 32 << 20
MAX_CONFIG_BYTES = 1 << 20
MOST_TOKENS = 256
AT_ONCE = 32
WHOLE = "sentence_embedding"
"""What an output is called that needs no pooling."""


class _Pooling(msgspec.Struct):
    pooling_mode_cls_token: bool = False


class Onnx:
    """The embedder: the mean of the last layer, or its first token where the model says so."""

    is_quick = False

    def __init__(self, session: Any, tokenizer: Any, *, fingerprint: str, takes_first: bool = False) -> None:
        """Take a session of onnxruntime, and a tokenizer that cuts and pads.

        :raises NoEmbedder: the model gives no vectors
        """
        self._session, self._tokenizer = session, tokenizer
        self._inputs = {one.name for one in session.get_inputs()}
        outputs = [one.name for one in session.get_outputs()]
        self._output = WHOLE if WHOLE in outputs else outputs[0]
        self._takes_first = takes_first
        self.dimension = self._run([""]).shape[1]
        pooling = "first" if takes_first else "mean"
        self.id = f"{VERSION}:{self.dimension}:{MOST_TOKENS}:{pooling}:{fingerprint}"

    @classmethod
    def read(cls, contents: Contents) -> Onnx:
        """Take the files of a directory.

        :raises NoEmbedder: they are missing, no such model, or the libraries are not installed
        """
        try:
            import onnxruntime  # type: ignore[import-untyped]  # noqa: PLC0415
            from tokenizers import Tokenizer  # noqa: PLC0415
        except ImportError as error:
            raise NoEmbedder("the embedder 'onnx' needs onnxruntime and tokenizers", EXTRA) from error
        model = contents("model.onnx", MAX_MODEL_BYTES) or contents("onnx/model.onnx", MAX_MODEL_BYTES)
        text = contents("tokenizer.json", MAX_TOKENIZER_BYTES)
        if model is None or text is None:
            raise NoEmbedder("model.onnx or tokenizer.json is missing", HINT)
        with _translated("the model cannot be read"):
            tokenizer = Tokenizer.from_buffer(bytes(text))
            tokenizer.enable_truncation(MOST_TOKENS)
            tokenizer.enable_padding()
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = options.inter_op_num_threads = 1
            session = onnxruntime.InferenceSession(bytes(model), options, providers=["CPUExecutionProvider"])
        pooling = _pooling(contents("1_Pooling/config.json", MAX_CONFIG_BYTES))
        return cls(session, tokenizer, fingerprint=fingerprint(model, text), takes_first=pooling.pooling_mode_cls_token)

    def embed(self, texts: Sequence[str]) -> Floats:
        """(n, dimension) rows of length 1, or 0 for a text with nothing in it.

        :raises NoEmbedder: the model fails
        """
        out = np.zeros((len(texts), self.dimension), np.float32)
        for start in range(0, len(texts), AT_ONCE):
            part = texts[start : start + AT_ONCE]
            is_blank = np.array([not text.strip() for text in part])
            out[start : start + AT_ONCE] = np.where(is_blank[:, None], 0.0, self._run(part))
        return of_length_one(out)

    def _run(self, texts: Sequence[str]) -> Floats:
        tokens = self._tokenizer.encode_batch(list(texts))
        ids, mask = (np.array([getattr(one, name) for one in tokens], np.int64) for name in ("ids", "attention_mask"))
        given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        if unknown := self._inputs - given.keys():
            raise NoEmbedder(f"the model asks for {min(unknown)}, which no text has", HINT)
        with _translated("the model fails"):
            (found,) = self._session.run([self._output], {name: given[name] for name in self._inputs})
        if found.ndim == 3:
            weights = mask[:, :, None].astype(np.float32)
            mean = (found * weights).sum(1) / np.maximum(weights.sum(1), TINY)
            found = found[:, :1].sum(1) if self._takes_first else mean
        if found.ndim != 2 or found.dtype.kind != "f":
            raise NoEmbedder(f"the output {self._output!r} of the model is not a vector for each text", HINT)
        vectors: Floats = found.astype(np.float32)
        return vectors


def _pooling(text: bytes | memoryview | None) -> _Pooling:
    try:
        return _Pooling() if text is None else msgspec.json.decode(text, type=_Pooling)
    except msgspec.MsgspecError as error:
        raise NoEmbedder(f"1_Pooling/config.json cannot be read: {error}", HINT) from error


@contextmanager
def _translated(what: str) -> Iterator[None]:
    """Both libraries raise bare exceptions, and classes of their own that have nothing else in common."""
    try:
        yield
    except Exception as error:
        raise NoEmbedder(f"{what}: {str(error).partition(chr(10))[0][:200]}", HINT) from error
