"""Several rounds of a chat as one answer of OpenAI's chat API.

The client gets one message: the text of all rounds, and of the calls of the last one those of its own functions. What
was called for it in between stands in the message's ``pointsman.mcp_messages`` where the client has to go on with
calls of its own; if it gives the message back as it is, the model sees those rounds again.

In a stream, text goes on as it comes; what belongs to our calls, and each reason but the last one, is held back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from pointsman.errors import InvalidRequest, UpstreamBroken
from pointsman.pipeline.mcp_use.deltas import Round
from pointsman.pipeline.mcp_use.offers import Done, Offers, Wanted, schema_of, wanted_of
from pointsman.pipeline.mcp_use.sums import add_up
from pointsman.wire.messages import SseMessages

OURS: Final = "pointsman"
EARLIER: Final = "mcp_messages"
BETWEEN: Final = "\n\n"
"""Stands between the texts of two rounds."""
DONE: Final = b"[DONE]"
END: Final = b"data: [DONE]\n\n"
OF_ONE: Final = frozenset({"choices", "usage", "obfuscation"})
"""Members of a chunk that are of it alone."""
CHAINED: Final = frozenset({"assistant", "tool"})
"""Roles of what is between a question and its answer."""
MAX_EVENT_BYTES: Final = 32 * 1024 * 1024
Members = dict[str, Any]
_encode: Final = msgspec.json.Encoder().encode


class ChatForm:
    """One request for chat, from its first round to its last."""

    def __init__(self, body: Members, offers: Offers) -> None:
        """``body`` is the request's.

        :raises InvalidRequest: it cannot be answered so
        """
        if body.get("n") not in (None, 1):
            raise InvalidRequest("With an MCP server among the tools there is one answer: leave 'n' out", param="n")
        self._body = body
        self._offers = offers
        self._is_stream = body.get("stream") is True
        options = body.get("stream_options")
        self._tells_usage = isinstance(options, dict) and options.get("include_usage") is True
        self._tools = _tools(body["tools"], offers)
        self._choice = _choice(body.get("tool_choice"), offers)
        self._messages = unfolded(body["messages"])
        self._began_at = len(self._messages)
        """Where that begins which the client does not have."""
        self._usage: Members = {}
        self._calls: list[Members] = []
        """What was called so far, as it is told."""
        self._text = ""
        """Of the rounds before."""
        self._lead = ""
        """Stands before the next text that goes out."""
        self._head: Members = {}
        """Members of every chunk."""
        self._begun: dict[str, int] = {}
        """How many elements of a member the client has got of the rounds before."""
        self._round = Round(offers, self._begun)
        self._messages_of = SseMessages(MAX_EVENT_BYTES)
        self._answer: Members = {}
        self._has_begun = False
        self.is_over = False
        """Whether no round follows."""
        self.has_failed = False
        """Whether the stream has told of an error, and so is at its end."""

    # -- what goes to the model -----------------------------------------------------------------------------------

    def request(self, *, is_last: bool) -> bytes:
        """The body of the next round; in the last one the model may not call anything."""
        self._go_on()
        self._messages_of = SseMessages(MAX_EVENT_BYTES)
        body = {**self._body, "messages": self._messages, "tools": self._tools}
        body.pop("tool_choice", None)
        if not self._tools:
            del body["tools"]
        elif is_last:
            body["tool_choice"] = "none"
        elif self._choice is not None:
            # What has to be called once would be called for ever.
            body["tool_choice"] = "auto" if self._calls and self._choice != "none" else self._choice
        return _encode(body)

    def _go_on(self) -> None:
        """What the last round has said stands before what the next one says."""
        for name, value in self._round.message.items():
            if isinstance(value, list):
                self._begun[name] = self._begun.get(name, 0) + len(value)
        text = self._round.message.get("content")
        self._text = joined(self._text, text if isinstance(text, str) else "")
        self._lead = BETWEEN if self._text else ""
        self._round = Round(self._offers, self._begun)

    def approved(self) -> list[Wanted]:
        """What is to be called before the first round: nothing."""
        return []

    # -- what comes from it ---------------------------------------------------------------------------------------

    def take(self, body: bytes) -> None:
        """The whole answer of a round.

        :raises UpstreamBroken: it is none
        """
        try:
            self._answer = msgspec.json.decode(body, type=Members)
            choice = self._answer["choices"][0]
            self._round.message = dict(choice["message"])
        except (msgspec.MsgspecError, LookupError, TypeError, ValueError) as error:
            raise UpstreamBroken(operator_detail="the answer has no choices") from error
        self._round.finish = choice.get("finish_reason")
        self._round.usage = self._answer.get("usage") or {}

    def feed(self, piece: bytes) -> bytes:
        """More of the stream of a round; gives what of it goes to the client.

        :raises UpstreamBroken: it cannot be understood
        """
        return b"".join([self._chunk(data) for _, data in self._messages_of.feed(piece)])

    def turn(self) -> list[Wanted]:
        """A round has ended; gives what is to be called."""
        made = self._round
        add_up(self._usage, made.usage)
        calls = made.calls()
        ours = [call for call in calls if made.is_ours(call)]
        self.is_over = not ours or len(ours) < len(calls)
        if ours:
            turn = {name: value for name, value in made.message.items() if value}
            turn |= {"role": "assistant", "content": made.message.get("content"), "tool_calls": ours}
            self._messages.append(turn)
        return [
            wanted_of(one, call.get("id"), call["function"].get("arguments"))
            for call in ours
            if (one := self._offers.of(call["function"]["name"])) is not None
        ]

    # -- what is called -------------------------------------------------------------------------------------------

    def calling(self, wanted: Sequence[Wanted]) -> bytes:
        """These are being called; gives what a client is told of it that reads a stream."""
        return self._progress([_told(one, "in_progress") for one in wanted])

    def called(self, done: Sequence[Done]) -> bytes:
        """They have answered."""
        told = [_told(one.wanted, "failed" if one.is_error else "completed") for one in done]
        self._calls += told
        for one in done:
            self._messages.append({"role": "tool", "tool_call_id": one.wanted.id, "content": one.text})
        return self._progress(told)

    def give_up(self) -> None:
        """The model goes on calling although it may not: what it has said is the answer."""
        self.is_over = True
        self._round.finish = "length"

    # -- what goes to the client ----------------------------------------------------------------------------------

    @property
    def chain(self) -> None:
        """Nothing goes on from an answer by its id."""
        return

    def finish(self) -> bytes:
        """The whole reply, or the end of the stream."""
        return self._end() if self._is_stream else self._whole()

    def _whole(self) -> bytes:
        message = self._round.message
        content = message.get("content")
        if self._text:
            message["content"] = joined(self._text, content if isinstance(content, str) else "")
        theirs = [call for call in message.pop("tool_calls", None) or [] if not self._round.is_ours(call)]
        if theirs:
            message["tool_calls"] = theirs
            message |= self._earlier()
        choice = {**self._answer["choices"][0], "message": message, "finish_reason": self._round.finish}
        reply = {**self._answer, "choices": [choice]}
        if self._usage:
            reply["usage"] = self._usage
        if self._calls:
            reply[OURS] = {"mcp_calls": self._calls}
        return _encode(reply)

    def _end(self) -> bytes:
        made = self._round
        delta = self._earlier() if any(not made.is_ours(call) for call in made.calls()) else {}
        out = [self._begin(), self._written(delta, made.finish)]
        if self._tells_usage and self._usage:
            out.append(_event({**self._head, "choices": [], "usage": self._usage}))
        return b"".join(out) + END

    def _earlier(self) -> Members:
        """What the client does not have, where it goes on itself."""
        earlier = [
            {**one, "content": None} if one.get("role") == "assistant" else one
            for one in self._messages[self._began_at :]
        ]
        return {OURS: {EARLIER: earlier}} if earlier else {}

    def _progress(self, calls: list[Members]) -> bytes:
        if not self._is_stream:
            return b""
        return self._begin() + self._written({}, None, pointsman={"mcp_calls": calls})

    def _begin(self) -> bytes:
        if self._has_begun:
            return b""
        self._has_begun = True
        return self._written({"role": "assistant", "content": ""}, None)

    def _written(self, delta: Members, reason: Any, logprobs: Any = None, **more: Any) -> bytes:
        choice: Members = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": reason}
        if self._tells_usage:
            more["usage"] = None
        return _event({**self._head, "choices": [choice], **more})

    def _chunk(self, data: bytes) -> bytes:
        if data == DONE:
            return b""
        try:
            chunk = msgspec.json.decode(data, type=Members)
        except msgspec.DecodeError as error:
            raise UpstreamBroken(operator_detail="an event that is not JSON") from error
        if chunk.get("error"):
            self.has_failed = True
            return b"data: %b\n\n" % data
        if isinstance(chunk.get("usage"), dict):
            self._round.usage = chunk["usage"]
        if not self._head:
            self._head = {name: value for name, value in chunk.items() if name not in OF_ONE}
        choices = chunk.get("choices")
        if not choices or choices[0].get("index", 0) != 0:
            return b""
        return self._take_choice(choices[0])

    def _take_choice(self, choice: Members) -> bytes:
        made = self._round
        made.finish = choice.get("finish_reason") or made.finish
        delta = made.add(choice.get("delta") or {})
        if not delta:
            return b""
        if self._lead and isinstance(delta.get("content"), str):
            delta["content"], self._lead = self._lead + delta["content"], ""
        return self._begin() + self._written(delta, None, logprobs=choice.get("logprobs"))


def unfolded(messages: Any) -> list[Any]:
    """The messages of a request, with what an answer has said of the rounds before it in their place."""
    every: list[Any] = []
    for one in messages:
        if not isinstance(one, dict) or OURS not in one:
            every.append(one)
            continue
        rest = dict(one)
        ours = rest.pop(OURS)
        earlier = ours.get(EARLIER) if isinstance(ours, dict) else None
        for other in earlier if isinstance(earlier, list) else ():
            if not isinstance(other, dict) or other.get("role") not in CHAINED:
                raise InvalidRequest(f"'{OURS}.{EARLIER}' holds what the gateway has not put there", param="messages")
            every.append(other)
        every.append(rest)
    return every


def joined(before: str, after: str) -> str:
    """The texts of two rounds."""
    return before + BETWEEN + after if before and after else before or after


def _tools(tools: Sequence[Any], offers: Offers) -> list[Any]:
    """Those of the client, with functions in the place of servers."""
    places = {one.place for one in offers.entries}
    own = [tool for place, tool in enumerate(tools) if place not in places]
    functions = [tool.get("function") for tool in own if isinstance(tool, dict)]
    offers.set_apart(one.get("name") for one in functions if isinstance(one, dict))
    return own + [
        {
            "type": "function",
            "function": {
                "name": one.public,
                "description": one.definition.description or one.name,
                "parameters": schema_of(one),
            },
        }
        for one in offers
    ]


def _choice(choice: Any, offers: Offers) -> Any:
    """The ``tool_choice``, with functions in the place of servers."""
    if not isinstance(choice, dict) or choice.get("type") != "mcp":
        return choice
    if choice.get("name") is None:
        return "required"
    one = offers.named(str(choice.get("server_label")), str(choice["name"]))
    if one is None:
        raise InvalidRequest("The tool of 'tool_choice' is not there", param="tool_choice")
    return {"type": "function", "function": {"name": one.public}}


def _told(wanted: Wanted, status: str) -> Members:
    """A call, for a client that wants to show what goes on."""
    return {"id": wanted.id, "server_label": wanted.offer.label, "name": wanted.offer.name, "status": status}


def _event(chunk: Members) -> bytes:
    return b"data: %b\n\n" % _encode(chunk)
