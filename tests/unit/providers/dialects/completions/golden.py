"""Golden files of this dialect: ``tests/golden/completions/<kind>/<case>.json``.

Canonical values stand there as ``["Text", {"text": ...}]``: the class, and its members.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pointsman.providers.translation import ReplyTerms
from pointsman.wire import chat
from pointsman.wire.usage import Usage

FOLDER = Path(__file__).parents[4] / "golden" / "completions"
CLASSES: dict[str, Any] = {
    name: value
    for name, value in (*vars(chat).items(), ("Usage", Usage))
    if isinstance(value, type) and issubclass(value, msgspec.Struct)
}


def cases(kind: str) -> pytest.MarkDecorator:
    """Run a test for each golden file of a kind; the test gets its content as ``case``."""
    files = sorted((FOLDER / kind).glob("*.json"))
    assert files
    return pytest.mark.parametrize(
        "case", [json.loads(file.read_text()) for file in files], ids=[f.stem for f in files]
    )


def built(value: Any) -> Any:
    """A canonical value from a golden file."""
    if isinstance(value, list):
        if len(value) == 2 and isinstance(value[0], str) and value[0] in CLASSES and isinstance(value[1], dict):
            return CLASSES[value[0]](**{name: built(member) for name, member in value[1].items()})
        return [built(item) for item in value]
    return {name: built(member) for name, member in value.items()} if isinstance(value, dict) else value


def reply_terms(*, include_usage: bool = False) -> ReplyTerms:
    request = chat.ChatRequest(dialect="openai", turns=[], include_usage=include_usage)
    return ReplyTerms(model="public", unique="u1", created=1700000000, request=request)
