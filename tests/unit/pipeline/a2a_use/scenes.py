"""A client of a model, and an agent that does as the test says."""

from __future__ import annotations

import json
from typing import Any

from unit.a2a.rig import Rig
from unit.pipeline.conftest import Downstream

from pointsman.access.caller import Caller
from pointsman.pipeline.a2a_use.serving import Means, Request, serve_with_agent
from pointsman.pipeline.call import Call
from pointsman.upstream.beats import Beats
from pointsman.wire import operations as op

BODIES: dict[str, dict[str, Any]] = {
    op.CHAT.name: {"messages": [{"role": "user", "content": "hello"}]},
    op.COMPLETION.name: {"prompt": "hello"},
    op.RESPONSES.name: {"input": "hello"},
    op.MESSAGES.name: {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 9},
    op.GENERATE_CONTENT.name: {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]},
}


class Scene:
    """One request after the other."""

    def __init__(self) -> None:
        self.rig = Rig()
        self.beats = Beats(1000.0)
        self.slept: list[float] = []
        self.time = 0.0
        self.call: Call

    def begin(
        self, operation: op.Operation = op.CHAT, who: Caller | None = None, *, is_array: bool = False, **more: Any
    ) -> Any:
        """A request as it is answered; its reply goes to what :attr:`call` has as its downstream."""
        body = json.dumps({"model": "a2a/a", **BODIES[operation.name], **more}).encode()
        lines = b"x-request-id: r1\r\n"
        self.call = call = Call(operation, Downstream(), {}, lines, 0.0, is_master=False)
        call.caller = who or Caller(name="key:me", role="key")
        call.is_stream, call.is_array, call.given_bytes = more.get("stream") is True or is_array, is_array, 100
        request = Request(call, body, operation, "a", "a2a/a", 60.0, lambda: self.time)

        async def sleep(seconds: float) -> None:
            self.slept.append(seconds)

        means = Means(
            gateway=self.rig.gateway, beats=self.beats, unique=lambda: "u1", now=lambda: 1_800_000_000.0, sleep=sleep
        )
        return serve_with_agent(request, means)

    async def ask(self, operation: op.Operation = op.CHAT, **more: Any) -> Any:
        """What is answered, decoded."""
        await self.begin(operation, **more)
        return json.loads(self.reply.body)

    @property
    def reply(self) -> Downstream:
        found = self.call.downstream
        assert isinstance(found, Downstream)
        return found

    @property
    def chunks(self) -> list[Any]:
        """The events of a streamed reply."""
        texts = [line[6:] for line in self.reply.body.decode().split("\n") if line.startswith("data: ")]
        return [json.loads(text) for text in texts if text != "[DONE]"]

    @property
    def content(self) -> str:
        """What a streamed chat says."""
        deltas = [one["choices"][0]["delta"] for one in self.chunks if one.get("choices")]
        return "".join(delta.get("content") or "" for delta in deltas)
