"""Golden files whose canonical values are built from pairs.

A canonical value is written with its defaults left out; where several kinds of it can stand, as a pair of the kind and
its members.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from pointsman.wire import chat
from pointsman.wire.chat import Answer, ChatRequest, Choice, Tool, Turn
from pointsman.wire.usage import Usage

ROOT = Path(__file__).parents[3] / "golden"

_PLAIN: dict[str, Any] = {
    "cache": chat.CacheMark,
    "seal": chat.Seal,
    "usage": Usage,
    "tool_choice": chat.ToolChoice,
    "format": chat.Format,
    "reasoning": chat.Reasoning,
}


def cases(dialect: str, kind: str) -> list[Path]:
    found = sorted((ROOT / dialect / kind).glob("*.json"))
    assert found, f"no golden files of {dialect}: {kind}"
    return found


def load(path: Path) -> dict[str, Any]:
    case: dict[str, Any] = msgspec.json.decode(path.read_bytes())
    return case


def request(case: dict[str, Any]) -> ChatRequest:
    turns = [Turn(**(each | {"parts": values(each["parts"])})) for each in case["turns"]]
    tools = [Tool(**_members(each)) for each in case.get("tools", [])]
    return ChatRequest(**(_members(case) | {"turns": turns, "tools": tools}))


def answer(case: dict[str, Any]) -> Answer:
    choices = [Choice(**(each | {"parts": values(each["parts"])})) for each in case["choices"]]
    return Answer(**(_members(case) | {"choices": choices}))


def values(pairs: list[Any]) -> list[Any]:
    """Parts, or events of a stream."""
    return [_value(kind, members) for kind, members in pairs]


def _value(kind: str, members: dict[str, Any]) -> Any:
    given = _members(members)
    if "parts" in given:
        given["parts"] = values(given["parts"])
    if "part" in given:
        given["part"] = _value(*given["part"])
    return getattr(chat, kind)(**given)


def _members(case: dict[str, Any]) -> dict[str, Any]:
    plain = {name: _PLAIN[name](**given) for name, given in case.items() if name in _PLAIN and isinstance(given, dict)}
    return case | plain
