"""One answer of a model while it is made, as a task: whoever listens, hears the same events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import msgspec

from pointsman.a2a.protocol.operations import TERMINAL, State, state_name
from pointsman.a2a.tasks import timestamp
from pointsman.errors import GatewayError
from pointsman.wire.usage import Usage

ARTIFACT = "answer"


class Said(msgspec.Struct, frozen=True, eq=False):
    """One turn of a conversation: one and the same in all that go on with it."""

    turn: dict[str, Any]
    """As OpenAI's chats have it."""
    size: int
    """Bytes that it takes, about."""


class Run:
    """One of them. Times are seconds since 1970."""

    def __init__(self, id: str, context: str, message: Mapping[str, Any], now: Callable[[], float], most: int) -> None:  # noqa: A002  as the protocol has it
        """``most`` is how many bytes of an answer are kept."""
        self.id = id
        self.context = context
        self.state: State = "working"
        self.turns: tuple[Said, ...] = ()
        """The conversation that the model was asked."""
        self.answer: Said | None = None
        """How it goes on, as soon as that is over."""
        self.failure: GatewayError | None = None
        self.task: asyncio.Task[None] | None = None
        """Which makes it."""
        self.usage: Usage | None = None
        self.size = 0
        self._message = message
        self._now = now
        self._most = most
        self._at = now()
        self._texts: list[str] = []
        self._complaint = ""
        self._news = asyncio.Event()

    @property
    def is_over(self) -> bool:
        """Whether nothing is added any more."""
        return self.state in TERMINAL

    @property
    def text(self) -> str:
        """What the model has said."""
        return "".join(self._texts)

    @property
    def is_too_long(self) -> bool:
        """Whether there is more of it than is kept."""
        return self.size > self._most

    def add(self, text: str) -> None:
        """The model has said more."""
        self.size += len(text.encode())
        if self.is_over or self.is_too_long or not text:
            return
        self._texts.append(text)
        self._tell()

    def end(self, state: State, complaint: str = "") -> None:
        """That was all; nothing, where it has ended already."""
        if self.is_over:
            return
        self.state, self._complaint, self._at = state, complaint, self._now()
        if self._texts:
            self.answer = Said({"role": "assistant", "content": self.text}, self.size)
        self._tell()

    def stop(self) -> None:
        """Nobody wants to know any more; nothing, where it has ended already."""
        if self.is_over:
            return
        self.end("canceled")
        if self.task is not None:
            self.task.cancel()

    async def begun(self) -> None:
        """Wait until there is something to tell."""
        while not self._texts and not self.is_over:
            await self._news.wait()

    def snapshot(self, *, has_history: bool = True, is_bare: bool = False) -> dict[str, Any]:
        """The task as it is now; ``is_bare``: as it was when it began."""
        status = self._status("working") if is_bare else self._status(self.state)
        task: dict[str, Any] = {"id": self.id, "contextId": self.context, "status": status}
        if self._texts and not is_bare:
            task["artifacts"] = [{"artifactId": ARTIFACT, "parts": [{"text": self.text}]}]
        if has_history:
            task["history"] = [{**self._message, "taskId": self.id, "contextId": self.context}]
        metadata = usage_of(self.usage)
        return task | ({"metadata": metadata} if metadata and not is_bare else {})

    async def events(self, *, from_start: bool) -> AsyncIterator[dict[str, Any]]:
        """The task, and all that is told of it from then on."""
        yield {"task": self.snapshot(is_bare=from_start)}
        told = 0 if from_start else len(self._texts)
        while True:
            news = self._news
            while told < len(self._texts):
                is_more, texts = told > 0, self._texts[told:]
                told = len(self._texts)
                artifact = {"artifactId": ARTIFACT, "parts": [{"text": "".join(texts)}]}
                yield {"artifactUpdate": {**self._ids, "artifact": artifact, "append": is_more}}
            if self.is_over:
                update = {**self._ids, "status": self._status(self.state)}
                metadata = usage_of(self.usage)
                yield {"statusUpdate": update | ({"metadata": metadata} if metadata else {})}
                return
            await news.wait()

    @property
    def _ids(self) -> dict[str, str]:
        return {"taskId": self.id, "contextId": self.context}

    def _status(self, state: State) -> dict[str, Any]:
        status: dict[str, Any] = {"state": state_name(state, "1.0"), "timestamp": timestamp(self._at)}
        if self._complaint and state == self.state:
            parts = [{"text": self._complaint}]
            status["message"] = {"messageId": f"{self.id}-end", "role": "ROLE_AGENT", "parts": parts, **self._ids}
        return status

    def _tell(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()


def usage_of(usage: Usage | None) -> dict[str, Any]:
    """What stands in ``metadata`` of what was used."""
    if usage is None:
        return {}
    counts = {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens or usage.input_tokens + usage.output_tokens,
    }
    return {"usage": counts}


def encoded(value: object) -> bytes:
    """An event or a result."""
    return msgspec.json.encode(value)
