"""What a conversation asks, as far as that decides about the model which answers it.

The text of a prompt is its last turn of the user that has text, after a short summary of what came before: a follow-up
such as "and in French?" says little by itself. Everything is bounded, so that a long history costs no more than a short
one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import msgspec

from pointsman.wire.chat import ChatRequest, Document, Image, Part, Text, ToolResult, Turn
from pointsman.wire.needs import Needs, least_tokens

MAX_CHARACTERS = 8_000
"""Of the last turn: its beginning, and where it is longer also its end, where the question often stands."""
TAIL_CHARACTERS = 2_000
SYSTEM_CHARACTERS = 200
EARLIER_CHARACTERS = 300
INSTRUCTING = ("system", "developer")


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation at the moment when it is to be answered."""

    text: str
    opening: str
    """The same for every request of one conversation."""
    needs: Needs
    has_answers: bool
    """Whether a model has answered in it before."""
    calls: tuple[str, ...] = ()
    """Ids of the calls whose results it brings, after the last text of the user; the last one first."""

    @property
    def is_tool_loop(self) -> bool:
        """Whether it brings what tools have answered to the model that called them."""
        return bool(self.calls)


def prompt_of(request: ChatRequest) -> Prompt:
    """Read a conversation."""
    turns = request.turns
    asked = [text for turn in turns if turn.role == "user" and (text := _text(turn))]
    system = "\n".join(text for turn in turns if turn.role in INSTRUCTING and (text := _text(turn)))
    return Prompt(
        text=_summed_up(system, asked),
        opening=_digest(system, asked[0] if asked else ""),
        needs=_needs(request),
        has_answers=any(turn.role == "assistant" for turn in turns),
        calls=_calls(turns),
    )


def _calls(turns: Sequence[Turn]) -> tuple[str, ...]:
    """Results that stand beside a text of the user, as some clients send them, are newer than it is."""
    found: list[str] = []
    for turn in reversed(turns):
        here = [part.call_id for part in reversed(turn.parts) if isinstance(part, ToolResult)]
        if turn.role == "user" and not here and any(isinstance(part, Text) and part.text for part in turn.parts):
            break
        found += here
    return tuple(found)


def _summed_up(system: str, asked: list[str]) -> str:
    if not asked:
        return system[:MAX_CHARACTERS]
    earlier = "\n".join(text[:EARLIER_CHARACTERS] for text in asked[-3:-1])[-EARLIER_CHARACTERS:]
    parts = (system[:SYSTEM_CHARACTERS], earlier, _cut(asked[-1]))
    return "\n".join(part for part in parts if part)


def _cut(text: str) -> str:
    if len(text) <= MAX_CHARACTERS:
        return text
    return f"{text[: MAX_CHARACTERS - TAIL_CHARACTERS]}\n{text[-TAIL_CHARACTERS:]}"


def _digest(system: str, first: str) -> str:
    words = f"{len(system)} {system[:MAX_CHARACTERS]}\0{len(first)} {first[:MAX_CHARACTERS]}"
    return hashlib.blake2b(words.encode("utf-8", "replace"), digest_size=16).hexdigest()


def _needs(request: ChatRequest) -> Needs:
    return Needs(
        tools=bool(request.tools),
        images=any(_is_seen(part) for turn in request.turns for part in _parts(turn)),
        json=request.format is not None,
        tokens=sum(least_tokens(p.text) for t in request.turns for p in _parts(t) if isinstance(p, Text)),
    )


def _text(turn: Turn) -> str:
    return "\n".join(part.text for part in turn.parts if isinstance(part, Text))


def _parts(turn: Turn) -> Iterator[Part]:
    """With those of results of tools."""
    for part in turn.parts:
        yield part
        if isinstance(part, ToolResult):
            yield from part.parts


def _is_seen(part: Part) -> bool:
    """Whether it takes a model that sees: pictures, and files that are more than text."""
    return isinstance(part, Image) or (isinstance(part, Document) and part.text is None and not _is_text(part))


def _is_text(document: Document) -> bool:
    kind = document.media_type or ""
    return kind.startswith("text/") or kind == "application/json"
