"""Values as any database and any encoding can hold them, so that nobody can send what is then never written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

_ENCODER: Final = msgspec.json.Encoder(enc_hook=str)


def clean(text: str) -> str:
    """Without NUL, which PostgreSQL refuses; half a surrogate pair, which is not UTF-8, becomes ``?``."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def is_clean(text: str) -> bool:
    """Whether it stays as it is."""
    return clean(text) == text


def cleaned(value: Any) -> Any:
    """Plain JSON values with clean texts, at any depth."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {clean(str(name)): cleaned(item) for name, item in value.items()}
    return [cleaned(item) for item in value] if isinstance(value, list | tuple) else value


def json(value: Any) -> str:
    """The text of plain JSON values, or of a struct of them."""
    try:
        return _ENCODER.encode(value).decode()
    except UnicodeEncodeError:
        return _ENCODER.encode(cleaned(msgspec.to_builtins(value, enc_hook=str))).decode()
