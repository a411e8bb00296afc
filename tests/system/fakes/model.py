"""What all fake providers have in common: one small model that answers by what it was asked.

A fake reads a request of its wire format into :class:`Asked`, strictly: what the provider itself would refuse is
:class:`Refused`. :func:`think` says what to answer, and the fake writes that in its own shapes. So an answer proves
that the question has arrived: what a picture weighs, what tools have answered, how many turns there were.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

CREATED = 1_760_000_000
THOUGHT = "The signal box is near the lake."
SEAL = "EqQBCkYIARgCKkDsignature+/canary=="
INPUT, CACHED, WRITTEN = 40, 16, 8
"""Tokens of each question; those of the cache are among them."""
OUTPUT, REASONED = 20, 6
"""Tokens of each answer; those of reasoning are among them where it reasons."""
CITIES = ("Bern", "Basel", "Chur")
STATUS = re.compile(r"answer with (\d{3})")
BREAKS = "break off"
STATION = {"city": "Bern", "tracks": 12}
TOOL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_-]{0,63}")


class Refused(Exception):
    """The provider does not take the request."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True)
class Call:
    """A tool call of the model."""

    id: str
    name: str
    arguments: dict[str, Any]

    @property
    def text(self) -> str:
        """The arguments as text."""
        return json.dumps(self.arguments)

    @property
    def pieces(self) -> list[str]:
        """The same as it is streamed."""
        return [self.text[at : at + 5] for at in range(0, len(self.text), 5)]


@dataclass
class Asked:
    """A request, understood."""

    prompt: str = ""
    """The last text of the user."""
    turns: int = 0
    """In which the user has said something."""
    system: str = ""
    images: list[tuple[str, bytes]] = field(default_factory=list)
    """Media type and content."""
    tools: dict[str, Any] = field(default_factory=dict)
    """Schemas by name."""
    results: list[str] = field(default_factory=list)
    """Of tools, since the model has spoken last; in the order of the calls."""
    schema: dict[str, Any] | None = None
    thinks: bool = False
    is_stream: bool = False


@dataclass
class Said:
    """An answer."""

    text: str = ""
    calls: list[Call] = field(default_factory=list)
    thinks: bool = False
    breaks: bool = False
    """Whether the provider reports an error on the way, if it streams."""

    @property
    def words(self) -> list[str]:
        """The text as it is streamed."""
        return re.findall(r"\S+\s*|\s+", self.text)


def think(asked: Asked) -> Said:
    """What the model answers.

    :raises Refused: it was asked to
    """
    status = STATUS.search(asked.prompt)
    if status is not None:
        raise Refused(int(status[1]), "This failure was asked for")
    if asked.results:
        return Said("Weather: " + "; ".join(asked.results), thinks=asked.thinks)
    cities = [city for city in CITIES if city in asked.prompt]
    if asked.tools and cities:
        _check_tools(asked.tools)
        calls = [Call(f"call_{n}_canary", next(iter(asked.tools)), {"city": city}) for n, city in enumerate(cities)]
        return Said("Let me look.", calls, thinks=asked.thinks)
    if asked.images:
        seen = ", ".join(f"{kind} of {len(data)} bytes" for kind, data in asked.images)
        return Said(f"I see {seen}", thinks=asked.thinks)
    if asked.schema is not None:
        if set(asked.schema.get("properties", ())) != set(STATION):
            raise Refused(400, f"The schema is not the one that was sent: {asked.schema}")
        return Said(json.dumps(STATION), thinks=asked.thinks)
    text = answer_text(asked.turns, asked.system)
    return Said(text, thinks=asked.thinks, breaks=BREAKS in asked.prompt)


def answer_text(turns: int = 1, system: str = "") -> str:
    """The text of a plain answer."""
    return f"Points set, signal clear ü ✓ after {turns} turns" + (f", as {system} says" if system else "")


def _check_tools(tools: dict[str, Any]) -> None:
    for name, schema in tools.items():
        if not TOOL_NAME.fullmatch(name):
            raise Refused(400, f"Invalid tool name {name!r}")
        if schema.get("properties", {}).get("city", {}).get("type", "").lower() != "string":
            raise Refused(400, f"The schema of {name!r} is not the one that was sent: {schema}")


class Strict(msgspec.Struct, forbid_unknown_fields=True):
    """A part of a request in which the provider takes only what it knows."""


T = TypeVar("T")


def taken(body: bytes, shape: type[T]) -> T:
    """The request, if it has the shape that the provider insists on.

    :raises Refused: it has not
    """
    try:
        return msgspec.json.decode(body, type=shape)
    except msgspec.DecodeError as error:
        raise Refused(400, str(error)) from error


def decoded(data: str) -> bytes:
    """Base64 as it has to be.

    :raises Refused: it is none
    """
    try:
        return base64.b64decode(data, validate=True)
    except binascii.Error as error:
        raise Refused(400, "Invalid base64") from error


def from_data_url(url: str) -> tuple[str, bytes]:
    """Type and content of a ``data:`` URL.

    :raises Refused: it is none
    """
    found = re.fullmatch(r"data:([a-z/+-]+);base64,(.*)", url)
    if found is None:
        raise Refused(400, f"Not a picture: {url[:40]}")
    return found[1], decoded(found[2])


def require(claim: bool, message: str, status: int = 400) -> None:
    """Refuse the request unless the claim is true.

    :raises Refused: it is not
    """
    if not claim:
        raise Refused(status, message)


def require_header(value: str | None, expected: str, message: str = "Invalid API key") -> None:
    """Refuse a wrong credential.

    :raises Refused: it is not the one
    """
    require(value == expected, message, 401)


def in_order(calls: list[str], results: dict[str, str]) -> list[str]:
    """Results of tools in the order of their calls.

    :raises Refused: one is missing, or there is one too many
    """
    require(set(calls) == set(results), f"Results of {sorted(results)} for calls of {sorted(calls)}")
    return [results[call] for call in calls]
