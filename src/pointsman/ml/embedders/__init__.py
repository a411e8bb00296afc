"""Embedders: texts as vectors.

``hashed`` is trained with a checkpoint and kept in it. The others exist beside it, and a checkpoint only names the one
it was trained with: ``static`` is a table, ``onnx`` and ``sentence`` are encoders, ``gateway`` is an embeddings model
elsewhere. An embedder is named by a text:

``hashed`` · ``static:DIRECTORY`` · ``onnx:DIRECTORY`` · ``sentence:NAME`` · ``gateway:MODEL:DIMENSION``
"""

from __future__ import annotations

from pathlib import Path

from pointsman.ml.base import Embedder
from pointsman.ml.embedders.base import Contents, NoEmbedder
from pointsman.ml.embedders.onnx import Onnx
from pointsman.ml.embedders.remote import Remote
from pointsman.ml.embedders.sentence import Sentence
from pointsman.ml.embedders.static import Static
from pointsman.ml.files import contents

HASHED = "hashed"
HINT = "hashed, static:DIRECTORY, onnx:DIRECTORY, sentence:NAME or gateway:MODEL:DIMENSION"


def embedder_of(name: str) -> Embedder | None:
    """The embedder of this name; ``None`` for ``hashed``, which a checkpoint brings itself.

    Reads its files, which may take seconds.

    :raises NoEmbedder: there is none of this name, its files are missing or wrong, or an extra is not installed
    """
    kind, colon, rest = name.partition(":")
    if name == HASHED:
        return None
    if not colon or not rest:
        raise NoEmbedder(f"{name!r} names no embedder", HINT)
    if kind == "sentence":
        return Sentence.named(rest)
    if kind == "gateway":
        return _remote(rest)
    if kind not in {"static", "onnx"}:
        raise NoEmbedder(f"there is no embedder {kind!r}", HINT)
    files = _files(Path(rest))
    return Static.read(files) if kind == "static" else Onnx.read(files)


def needs_hint(wanted: str) -> str:
    """What to configure for a checkpoint that was trained with the embedder of this id."""
    kind = wanted.partition("-")[0]
    return {
        "static": "set embedder to static: and the directory of that table",
        "onnx": "install the extra pointsman[onnx], and set embedder to onnx: and the directory of that model",
        "sentence": "install sentence-transformers, and set embedder to sentence: and the name of that model",
        "gateway": "set embedder to gateway:MODEL:DIMENSION, with an embeddings model of this gateway",
    }.get(kind, "train it again with: pointsman train")


def _remote(rest: str) -> Remote:
    model, _, dimension = rest.rpartition(":")
    if not model or not dimension.isdecimal() or not dimension.isascii():
        raise NoEmbedder(f"{rest!r} is not MODEL:DIMENSION", "such as gateway:text-embedding-3-small:1536")
    return Remote(model, int(dimension))


def _files(directory: Path) -> Contents:
    def found(name: str, limit: int) -> bytes | memoryview | None:
        try:
            return contents(directory / name, limit)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise NoEmbedder(f"{directory / name} cannot be read: {error}", "check the path") from error

    return found
