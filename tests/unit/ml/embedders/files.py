"""Small embedders as files: what model2vec and an exporter to ONNX write."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointsman.ml import tensors

PIECES = (
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "rail",
    "##way",
    "##s",
    "points",
    "man",
    ",",
    "?",
    "é",
    "e",
    "##é",
    "国",
    "a",
)
TABLE = np.random.default_rng(0).standard_normal((len(PIECES), 6)).astype(np.float32)


def tokenizer(**normalizer: Any) -> dict[str, Any]:
    return {
        "version": "1.0",
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": True,
        }
        | normalizer,
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": {piece: i for i, piece in enumerate(PIECES)},
        },
    }


def write_static(directory: Path, **arrays: NDArray[Any]) -> Path:
    directory.mkdir(exist_ok=True)
    (directory / "model.safetensors").write_bytes(tensors.pack(arrays or {"embeddings": TABLE.astype(np.float16)}))
    (directory / "tokenizer.json").write_text(json.dumps(tokenizer()))
    return directory


def write_onnx(directory: Path, model: bytes) -> Path:
    directory.mkdir(exist_ok=True)
    (directory / "model.onnx").write_bytes(model)
    (directory / "tokenizer.json").write_text(json.dumps(tokenizer()))
    return directory


def lookup(*, output: str = "last_hidden_state", inputs: tuple[str, ...] = ("input_ids", "attention_mask")) -> bytes:
    """An ONNX model that looks each token up in ``TABLE``, as protocol buffer (onnx.proto, opset 13)."""
    node = _message({1: ["table", "input_ids"], 2: [output], 4: ["Gather"]})
    table = _message({1: list(TABLE.shape), 2: [1], 8: ["table"], 9: [TABLE.tobytes()]})
    graph: dict[int, list[Any]] = {
        1: [node],
        2: ["lookup"],
        5: [table],
        11: [_value(name, 7, ("texts", "tokens")) for name in inputs],
        12: [_value(output, 1, ("texts", "tokens", TABLE.shape[1]))],
    }
    return _message({1: [8], 7: [_message(graph)], 8: [_message({2: [13]})]})


def _value(name: str, kind: int, shape: tuple[str | int, ...]) -> bytes:
    sizes = [_message({1: [size]} if isinstance(size, int) else {2: [size]}) for size in shape]
    tensor = _message({1: [kind], 2: [_message({1: sizes})]})
    return _message({1: [name], 2: [_message({1: [tensor]})]})


def _message(fields: Mapping[int, list[Any]]) -> bytes:
    out = b""
    for number, values in fields.items():
        for value in values:
            if isinstance(value, int):
                out += _varint(number << 3) + _varint(value)
            else:
                data = value.encode() if isinstance(value, str) else value
                out += _varint(number << 3 | 2) + _varint(len(data)) + data
    return out


def _varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])
