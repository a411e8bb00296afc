"""A procedure: a strategy that asks models on the way to an answer.

It is a generator. It yields :class:`Asks` or :class:`Route` and is sent what came of them, and it returns how to end:
an :class:`Answer` that it has, or a :class:`Plan` for one last call, which can be streamed to the client. Whoever
carries it out sees to money, deadlines, retries and cancellation. What was over the budget or failed comes back as a
:class:`Reply` without an answer, never as an exception: a procedure then ends with what it has.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any, Literal, TypeVar

import msgspec

from pointsman.routing.procedures.settings import ProcedureSettings
from pointsman.wire import chat
from pointsman.wire.chat import ChatRequest, Part, Refusal, Text, ToolCall, ToolResult, Turn

T = TypeVar("T")
MAX_QUOTED = 24_000
"""Characters of a question or an answer that is quoted to another model."""

Purpose = Literal["answer", "verify", "decompose", "sub-query", "think"]


class Pooled(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate that can be asked."""

    name: str
    """Of its model group."""
    description: str = ""
    cost_usd: float | None = None
    """Of this request, as expected."""


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """One question to one candidate."""

    candidate: str
    request: ChatRequest
    purpose: Purpose
    is_own: bool = True
    """Whether the request is ours, so that parameters that the candidate cannot take are left out without a word."""
    ours: frozenset[str] = frozenset()
    """What is ours of a request that is the caller's otherwise."""


class Asks(msgspec.Struct, frozen=True):
    """Questions that are asked at the same time; comes back as one :class:`Reply` each."""

    asks: Sequence[Ask]


class Route(msgspec.Struct, frozen=True):
    """Which candidate each of these texts goes to, by what was learnt; comes back as names."""

    texts: Sequence[str]


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What came of an :class:`Ask`."""

    ask: Ask
    answer: chat.Answer | None = None
    """``None``: it failed, or was never asked for want of money, calls or time."""

    @property
    def parts(self) -> list[Part]:
        """Of the first choice."""
        return self.answer.choices[0].parts if self.answer is not None and self.answer.choices else []

    @property
    def text(self) -> str:
        """What it says."""
        return text_of(self.parts)

    @property
    def calls(self) -> list[ToolCall]:
        """The tools that it wants called."""
        return [part for part in self.parts if isinstance(part, ToolCall)]


class Answer(msgspec.Struct, frozen=True):
    """The end: this is the answer."""

    candidate: str
    """Whose it is."""
    answer: chat.Answer
    purpose: Purpose = "answer"
    """What the candidate was asked for when it said this."""


class Plan(msgspec.Struct, frozen=True):
    """The end: what this candidate says to ``request`` is the answer."""

    candidate: str
    request: ChatRequest
    otherwise: Answer | None = None
    """Given where the call fails, or may cost more than is left."""
    ours: frozenset[str] = frozenset()
    """What is ours of a request that is the caller's otherwise."""


Step = Asks | Route
Ending = Answer | Plan
Steps = Generator[Step, Any, T]
Procedure = Callable[[ChatRequest, Sequence[Pooled], ProcedureSettings], Steps[Ending]]
"""From a client's request, the candidates (at least one, the best first), and the settings, to the steps."""


def ask(*asks: Ask) -> Steps[list[Reply]]:
    """Ask all of these at the same time."""
    replies: list[Reply] = yield Asks(asks)
    return replies


def route(texts: Sequence[str]) -> Steps[list[str]]:
    """Find the candidates for ``texts``."""
    names: list[str] = yield Route(texts)
    return names


def prompt(instruction: str, *said: str, **more: Any) -> ChatRequest:
    """A request of ours: what to do, and what is ``said`` by the user and the assistant in turn."""
    turns = [Turn("system", [Text(instruction)])]
    turns += [Turn("assistant" if i % 2 else "user", [Text(text)]) for i, text in enumerate(said)]
    return ChatRequest(dialect="openai", turns=turns, **more)


def cheapest(pool: Sequence[Pooled]) -> Pooled:
    """The one that costs least; of those whose costs are not known the last, as the best is first."""
    known = [one for one in pool if one.cost_usd is not None]
    return min(known, key=lambda one: (one.cost_usd, one.name)) if known else pool[-1]


def question_of(request: ChatRequest) -> str:
    """What the user has said last, with the assistant's words before it, as text of bounded length."""
    told = [(turn.role, text_of(turn.parts)) for turn in request.turns if turn.role in ("user", "assistant")]
    told = [(role, text) for role, text in told if text]
    if not told:
        return ""
    last = quoted(told[-1][1])
    if len(told) == 1:
        return last
    before = "\n".join(f"{role}: {quoted(text, 2000)}" for role, text in told[-5:-1])
    return f"{last}\n\n(Said before:\n{before})"


def is_plain(request: ChatRequest) -> bool:
    """Whether it is a question in words that is answered in words: no tools, no pictures, no choices."""
    if request.tools or (request.n or 1) > 1 or request.logprobs or not request.turns:
        return False
    last = request.turns[-1]
    return last.role == "user" and all(isinstance(part, Text) for part in last.parts) and bool(text_of(last.parts))


def with_note(request: ChatRequest, note: str) -> ChatRequest:
    """The request with ``note`` after what the user has said last."""
    *before, last = request.turns
    return msgspec.structs.replace(
        request, turns=[*before, msgspec.structs.replace(last, parts=[*last.parts, Text(note)])]
    )


def text_of(parts: Iterable[Part]) -> str:
    """The text of ``parts``, tools that are called included."""
    said = []
    for part in parts:
        if isinstance(part, Text | Refusal):
            said.append(part.text)
        elif isinstance(part, ToolCall):
            said.append(f"[calls {part.name}({part.arguments})]")
        elif isinstance(part, ToolResult):
            said.append(f"[the tool says: {text_of(part.parts)}]")
    return "\n".join(said).strip()


def quoted(text: str, limit: int = MAX_QUOTED) -> str:
    """``text``, without its middle where it is too long."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n[…]\n{text[-half:]}"
