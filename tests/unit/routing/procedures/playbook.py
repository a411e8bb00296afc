"""A procedure played by a script: what comes of each of its steps is written down beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pointsman.routing.procedures.base import Ask, Asks, Ending, Pooled, Reply, Route, Step, Steps
from pointsman.wire.chat import Answer, ChatRequest, Choice, Finish, Part, Text, ToolCall, Turn

CHEAP = Pooled(name="cheap", description="Quick.", cost_usd=0.001)
MIDDLE = Pooled(name="middle", cost_usd=0.004)
BEST = Pooled(name="best", description="Knows most.", cost_usd=0.02)
POOL = (BEST, MIDDLE, CHEAP)


def question(text: str = "Why is the sky blue, and the sea?", **more: Any) -> ChatRequest:
    return ChatRequest(dialect="openai", turns=[Turn("user", [Text(text)])], **more)


def answer(*parts: Part | str, finish: Finish = "stop") -> Answer:
    whole: list[Part] = [Text(part) if isinstance(part, str) else part for part in parts]
    return Answer(dialect="openai", choices=[Choice(parts=whole, finish=finish)])


def call(query: str, model: str = "cheap", name: str = "ask_model") -> ToolCall:
    return ToolCall(id=f"c-{query}", name=name, arguments=f'{{"model":"{model}","query":"{query}"}}')


class Played:
    """What a procedure did."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.ending: Ending | None = None

    def asks(self, step: int) -> Sequence[Ask]:
        """What was asked in a step."""
        made = self.steps[step]
        assert isinstance(made, Asks)
        return made.asks

    def asked(self, step: int) -> list[tuple[str, str]]:
        """The same as pairs of candidate and purpose."""
        return [(ask.candidate, ask.purpose) for ask in self.asks(step)]


def play(steps: Steps[Ending], *script: Sequence[Any]) -> Played:
    """Give each step what ``script`` has for it: names for a :class:`Route`, for asks texts, answers, or ``None``."""
    played, left = Played(), list(script)
    try:
        step = next(steps)
        while True:
            played.steps.append(step)
            came = left.pop(0)
            step = steps.send(list(came) if isinstance(step, Route) else _replies(step, came))
    except StopIteration as end:
        played.ending = end.value
    assert not left, "the procedure has ended before the script"
    return played


def _replies(step: Step, came: Sequence[Any]) -> list[Reply]:
    assert isinstance(step, Asks)
    answers = [answer(one) if isinstance(one, str) else one for one in came]
    return [Reply(ask=ask, answer=one) for ask, one in zip(step.asks, answers, strict=True)]
