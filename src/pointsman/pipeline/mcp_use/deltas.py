"""One answer of a chat model, gathered from its pieces, and what of each piece the client is to see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pointsman.pipeline.mcp_use.offers import Offers

FUNCTIONS: Final = ("function", "custom")
ONCE: Final = frozenset({"id", "type", "name", "role"})
"""Members that are not said piece by piece."""
Members = dict[str, Any]


class _Text:
    """A text in the pieces that have come: to put it together for each of them would take the square of its length."""

    __slots__ = ("pieces",)

    def __init__(self, piece: str) -> None:
        self.pieces = [piece]


class Round:
    """One answer of the model."""

    def __init__(self, offers: Offers, begun: Mapping[str, int]) -> None:
        """``begun``: the elements that members in pieces have of rounds before."""
        self._offers = offers
        self._begun = begun
        self._message: Members = {}
        self.finish: Any = None
        self.usage: Members = {}
        self._places: dict[int, int] = {}
        """Of calls in the message, by their index in the stream."""
        self._held: dict[int, list[Members]] = {}
        """Pieces of calls whose name has not come yet."""
        self._shown: dict[int, int] = {}
        """Where a call of the client's stands among those that it sees."""

    @property
    def message(self) -> Members:
        """What it has said."""
        return {name: _whole(value) for name, value in self._message.items()}

    @message.setter
    def message(self, message: Members) -> None:
        self._message = message

    def calls(self) -> list[Members]:
        """All that it wants called."""
        return self.message.get("tool_calls") or []

    def is_ours(self, call: Mapping[str, Any]) -> bool:
        """Whether a call is one of a tool that was offered and needs nobody's approval."""
        found = self._offers.of((call.get("function") or {}).get("name"))
        return found is not None and found.is_approved

    def add(self, delta: Members) -> Members:
        """More of it; gives what the client is to see."""
        shown: Members = {}
        for name, value in delta.items():
            if name == "tool_calls":
                calls = [piece for call in value or () for piece in self._add_call(call)]
                if calls:
                    shown[name] = calls
            elif value:
                self._message[name] = value if name in ONCE else _more(self._message.get(name), value)
                if name != "role":
                    shown[name] = _shifted(value, self._begun.get(name, 0))
        return shown

    def _add_call(self, piece: Members) -> list[Members]:
        index = piece.get("index", 0)
        calls = self._message.setdefault("tool_calls", [])
        place = self._places.setdefault(index, len(calls))
        if place == len(calls):
            calls.append({})
        for name, value in piece.items():
            if name != "index" and value is not None:
                calls[place][name] = value if name in ONCE else _more(calls[place].get(name), value)
        if not any((calls[place].get(kind) or {}).get("name") for kind in FUNCTIONS):
            self._held.setdefault(index, []).append(piece)
            return []
        if self.is_ours(calls[place]):
            return []
        number = self._shown.setdefault(index, len(self._shown))
        return [{**one, "index": number} for one in (*self._held.pop(index, ()), piece)]


def _more(before: Any, value: Any) -> Any:
    """A member of a message after another piece of it has come."""
    if before is None:
        return dict(value) if isinstance(value, dict) else value
    if isinstance(before, str):
        before = _Text(before)
    if isinstance(before, _Text) and isinstance(value, str):
        before.pieces.append(value)
        return before
    if isinstance(before, list) and isinstance(value, list):
        return _longer(before, value)
    if isinstance(before, dict) and isinstance(value, dict):
        return before | {k: v if k in ONCE else _more(before.get(k), v) for k, v in value.items() if v is not None}
    return value


def _whole(value: Any) -> Any:
    """A member of a message with its texts put together."""
    if isinstance(value, _Text):
        return "".join(value.pieces)
    if isinstance(value, dict):
        return {name: _whole(one) for name, one in value.items()}
    return [_whole(one) for one in value] if isinstance(value, list) else value


def _longer(before: list[Any], value: list[Any]) -> list[Any]:
    """Elements that have an index are the same as those before that have it."""
    every = list(before)
    for one in value:
        index = one.get("index") if isinstance(one, dict) else None
        same = next((i for i, old in enumerate(every) if index is not None and old.get("index") == index), None)
        if same is None:
            every.append(one)
        else:
            every[same] = _more(every[same], {**one, "index": None}) | {"index": index}
    return every


def _shifted(value: Any, begun: int) -> Any:
    """Elements of a member, numbered on from those of the rounds before."""
    if not begun or not isinstance(value, list):
        return value
    is_counted = [isinstance(one, dict) and "index" in one for one in value]
    return [
        {**one, "index": one["index"] + begun} if has_index else one
        for one, has_index in zip(value, is_counted, strict=True)
    ]
