"""Golden files of this dialect: ``tests/golden/openai/<kind>/<case>.json``.

Canonical values stand there as ``["Text", {"text": ...}]``: the class, and the members that are not as usual.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pointsman.providers.dialects import openai
from pointsman.providers.translation import ReplyTerms
from pointsman.wire import chat
from pointsman.wire.usage import Usage

FOLDER = Path(__file__).parents[4] / "golden" / "openai"
CLASSES: dict[str, Any] = {
    name: value
    for name, value in (*vars(chat).items(), ("Usage", Usage))
    if isinstance(value, type) and issubclass(value, msgspec.Struct)
}


def cases(kind: str, *, without: tuple[str, ...] = ()) -> pytest.MarkDecorator:
    """Run a test for each golden file of a kind; the test gets its content as ``case``."""
    files = [file for file in sorted((FOLDER / kind).glob("*.json")) if file.stem not in without]
    assert files
    return pytest.mark.parametrize(
        "case", [json.loads(file.read_text()) for file in files], ids=[f.stem for f in files]
    )


def plain(value: Any) -> Any:
    """A canonical value as it stands in a golden file."""
    if isinstance(value, msgspec.Struct):
        fields = msgspec.structs.fields(value)
        named = {field.name: getattr(value, field.name) for field in fields}
        kept = {
            field.name: plain(named[field.name])
            for field in fields
            if field.required or (named[field.name] != field.default and named[field.name] not in ([], {}))
        }
        return [type(value).__name__, kept]
    if isinstance(value, dict):
        return {name: plain(member) for name, member in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def built(value: Any) -> Any:
    """The reverse of :func:`plain`."""
    if isinstance(value, list):
        if len(value) == 2 and isinstance(value[0], str) and value[0] in CLASSES and isinstance(value[1], dict):
            return CLASSES[value[0]](**{name: built(member) for name, member in value[1].items()})
        return [built(item) for item in value]
    return {name: built(member) for name, member in value.items()} if isinstance(value, dict) else value


def reply_terms(request: chat.ChatRequest | None = None) -> ReplyTerms:
    return ReplyTerms(
        model="public", unique="u1", created=1700000000, request=request or chat.ChatRequest(dialect="openai", turns=[])
    )


def read_stream(messages: Iterable[tuple[bytes, bytes]]) -> tuple[list[chat.Event], bool]:
    """The events of a stream, and whether it was complete."""
    reader = openai.stream_reader()
    events = [event for name, data in messages for event in reader.read(name, data)]
    events += reader.close()
    return events, reader.is_finished
