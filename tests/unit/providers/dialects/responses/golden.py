"""The golden files of this dialect.

A canonical value is written with its defaults left out; where several kinds of it can stand, as a pair of the kind and
the members.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from pointsman.wire import chat
from pointsman.wire.chat import Answer, CacheMark, ChatRequest, Choice, Seal, Turn
from pointsman.wire.usage import Usage

ROOT = Path(__file__).parents[4] / "golden" / "responses"

_PLAIN: dict[str, Any] = {
    "cache": CacheMark,
    "seal": Seal,
    "usage": Usage,
    "tool_choice": chat.ToolChoice,
    "format": chat.Format,
    "reasoning": chat.Reasoning,
}


def cases(kind: str) -> list[Path]:
    found = sorted((ROOT / kind).glob("*.json"))
    assert found, f"no golden files of {kind}"
    return found


def load(path: Path) -> dict[str, Any]:
    case: dict[str, Any] = msgspec.json.decode(path.read_bytes())
    return case


def request(case: dict[str, Any]) -> ChatRequest:
    turns = [turn(each) for each in case["turns"]]
    tools = [chat.Tool(**_members(each)) for each in case.get("tools", [])]
    return ChatRequest(**(_members(case) | {"turns": turns, "tools": tools}))


def turn(case: dict[str, Any]) -> Turn:
    return Turn(**(_members(case) | {"parts": [value(each) for each in case["parts"]]}))


def answer(case: dict[str, Any]) -> Answer:
    choices = [Choice(**(each | {"parts": [value(part) for part in each["parts"]]})) for each in case["choices"]]
    return Answer(**(_members(case) | {"choices": choices}))


def value(pair: list[Any]) -> Any:
    """A part, or an event of a stream."""
    kind, members = pair
    given = _members(members)
    if "parts" in given:
        given["parts"] = [value(each) for each in given["parts"]]
    if "part" in given:
        given["part"] = value(given["part"])
    return getattr(chat, kind)(**given)


def _members(case: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _PLAIN[name](**given) if name in _PLAIN and isinstance(given, dict) else given
        for name, given in case.items()
    }
