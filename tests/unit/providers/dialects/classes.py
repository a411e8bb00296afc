"""Golden files, ``tests/golden/<dialect>/<kind>/<case>.json``, whose canonical values are read and written.

Canonical values stand there as ``["Text", {"text": ...}]``: the class, and the members that are not as usual.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pointsman.wire import chat
from pointsman.wire.usage import Usage

FOLDER = Path(__file__).parents[3] / "golden"
CLASSES: dict[str, Any] = {
    name: value
    for name, value in (*vars(chat).items(), ("Usage", Usage))
    if isinstance(value, type) and issubclass(value, msgspec.Struct)
}


def cases(dialect: str, kind: str) -> pytest.MarkDecorator:
    """Run a test for each golden file of a kind; the test gets its content as ``case``."""
    files = sorted((FOLDER / dialect / kind).glob("*.json"))
    assert files, f"no golden files of {dialect}: {kind}"
    return pytest.mark.parametrize(
        "case", [json.loads(file.read_text()) for file in files], ids=[f.stem for f in files]
    )


def plain(value: Any) -> Any:
    """A canonical value as it stands in a golden file; an error is its status and code."""
    if isinstance(value, chat.Failed):
        return ["Failed", {"status": value.error.status, "code": value.error.code, "message": value.error.message}]
    if isinstance(value, msgspec.Struct):
        kept = {}
        for field in msgspec.structs.fields(value):
            member = getattr(value, field.name)
            if field.required or (member != field.default and member not in ([], {})):
                kept[field.name] = plain(member)
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
