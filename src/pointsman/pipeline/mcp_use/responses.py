"""Several rounds of the Responses API as one response.

The client gets the items of all rounds; the calls of servers' tools are ``mcp_call`` items with what has come of them,
before which stand the lists of tools, and where somebody has to approve a call ``mcp_approval_request`` items. So
nothing is lost to it, and what it gives back as input goes on where it was.

A stream is one response: it is created once and completed once, its events are numbered on over all rounds, and what
belongs to our calls is written anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from pointsman.errors import InvalidRequest, UpstreamBroken
from pointsman.pipeline.mcp_use.approvals import Pending, id_of
from pointsman.pipeline.mcp_use.entries import KIND
from pointsman.pipeline.mcp_use.inputs import CALL_ID, function_output, read_input
from pointsman.pipeline.mcp_use.offers import Done, Offer, Offers, Wanted, schema_of, wanted_of
from pointsman.pipeline.mcp_use.sums import add_up
from pointsman.wire.messages import SseMessages

OPENINGS: Final = frozenset({"response.created", "response.queued", "response.in_progress"})
ENDINGS: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})
SECRET: Final = ("headers", "authorization")
"""Members of a client's tool that are not told again."""
MAX_EVENT_BYTES: Final = 32 * 1024 * 1024
Members = dict[str, Any]
_encode: Final = msgspec.json.Encoder().encode


class ResponsesForm:
    """One request for a response, from its first round to its last."""

    def __init__(self, body: Members, offers: Offers) -> None:
        """``body`` is the request's.

        :raises InvalidRequest: it cannot be answered so
        """
        if body.get("background") is True:
            raise InvalidRequest(
                "With an MCP server of this gateway among the tools there is no 'background'", param="background"
            )
        self._body = body
        self._offers = offers
        self._is_stream = body.get("stream") is True
        self._tools = _tools(body["tools"], offers)
        self._choice = _choice(body.get("tool_choice"), offers)
        self._has_conversation = body.get("conversation") is not None
        is_chained = self._has_conversation or body.get("previous_response_id") is not None
        read = read_input(body.get("input"), offers, is_chained=is_chained)
        self._input, self._approved, self._slots = read.items, read.approved, read.slots
        self._is_listed = set(read.listed) if not is_chained else {one.label for one in offers.entries}
        self._has_called = False
        self._usage: Members = {}
        self._output: list[Members] = []
        """What the client gets, of all rounds."""
        self._first: Members = {}
        """The response as it was when it was created."""
        self._last: Members = {}
        self._ending = "response.completed"
        self._sequence = 0
        self._ready: list[bytes] = []
        self._waiting: list[tuple[str, Members]] | None = []
        """Events that come before the response is created."""
        self._places: dict[Any, int | None] = {}
        """Where the items of a round stand among all; ``None``: the client does not see it."""
        self._items: list[Members] = []
        """Of this round."""
        self._calls: list[tuple[str, int]] = []
        """Ids and places of the items of the calls that are being made."""
        self._made = 0
        self._messages = SseMessages(MAX_EVENT_BYTES)
        self.is_over = False
        """Whether no round follows."""
        self.has_failed = False
        """Whether the stream has told of an error, and so is at its end."""
        self._list()

    # -- what goes to the model -----------------------------------------------------------------------------------

    def request(self, *, is_last: bool) -> bytes:
        """The body of the next round; in the last one the model may not call anything."""
        self._places, self._items = {}, []
        self._messages = SseMessages(MAX_EVENT_BYTES)
        body = {**self._body, "tools": self._tools}
        if self._input or body.get("input") is not None:
            body["input"] = self._input
        body.pop("tool_choice", None)
        if not self._tools:
            del body["tools"]
        elif is_last:
            body["tool_choice"] = "none"
        elif self._choice is not None:
            # What has to be called once would be called for ever.
            body["tool_choice"] = "auto" if self._has_called and self._choice != "none" else self._choice
        return _encode(body)

    def approved(self) -> list[Wanted]:
        """What is to be called before the first round: what the user has approved."""
        return self._approved

    # -- what comes from it ---------------------------------------------------------------------------------------

    def take(self, body: bytes) -> None:
        """The whole answer of a round.

        :raises UpstreamBroken: it is none
        """
        try:
            self._last = msgspec.json.decode(body, type=Members)
            self._items = [dict(item) for item in self._last["output"]]
        except (msgspec.MsgspecError, LookupError, TypeError, ValueError) as error:
            raise UpstreamBroken(operator_detail="the answer has no output") from error
        self._first = self._first or self._last
        self._output += [item for item in self._items if self._offer_of(item) is None]
        self._ending = f"response.{self._last.get('status', 'completed')}"

    def feed(self, piece: bytes) -> bytes:
        """More of the stream of a round; gives what of it goes to the client.

        :raises UpstreamBroken: it cannot be understood
        """
        for _, data in self._messages.feed(piece):
            try:
                event = msgspec.json.decode(data, type=Members)
            except msgspec.DecodeError as error:
                raise UpstreamBroken(operator_detail="an event that is not JSON") from error
            self._take_event(event)
        return self._written()

    def turn(self) -> list[Wanted]:
        """A round has ended; gives what is to be called."""
        add_up(self._usage, self._last.get("usage") or {})
        if self._ending != "response.completed":
            self.is_over = True
            return []
        wanted, has_others = [], False
        for item in self._items:
            one = self._offer_of(item)
            if one is None:
                has_others |= item.get("type") in ("function_call", "custom_tool_call")
            elif one.is_approved:
                wanted.append(wanted_of(one, item.get("call_id"), item.get("arguments")))
            else:
                has_others = True
                self._ask(item, one)
        self.is_over = has_others or not wanted
        if self._has_conversation:
            self._input = []
        else:
            keeps = self._body.get("store") is not False
            self._input = [*self._input, *(item for item in self._items if keeps or _is_whole(item))]
        return wanted

    # -- what is called -------------------------------------------------------------------------------------------

    def calling(self, wanted: Sequence[Wanted]) -> bytes:
        """These are being called; gives what a client is told of it that reads a stream."""
        for one in wanted:
            # Providers may give the same ids in each round.
            item_id = f"{CALL_ID}{self._made}_{one.id}"
            self._made += 1
            at = self._open({**_call_item(item_id, one, "in_progress"), "arguments": ""})
            self._calls.append((item_id, at))
            told = {"item_id": item_id, "output_index": at}
            self._send("response.mcp_call.in_progress", told)
            self._send("response.mcp_call_arguments.delta", {**told, "delta": one.arguments})
            self._send("response.mcp_call_arguments.done", {**told, "arguments": one.arguments})
        return self._written()

    def called(self, done: Sequence[Done]) -> bytes:
        """They have answered."""
        self._has_called = True
        calls, self._calls = self._calls, []
        for one, (item_id, at) in zip(done, calls, strict=True):
            status = "failed" if one.is_error else "completed"
            item = _call_item(item_id, one.wanted, status)
            if one.is_error:
                item["error"] = {
                    "type": "mcp_tool_execution_error",
                    "content": [{"type": "text", "text": one.text}],
                }
            else:
                item["output"] = one.text
            self._send(f"response.mcp_call.{status}", {"item_id": item_id, "output_index": at})
            self._close(at, item)
            slot = self._slots.pop(one.wanted.id, None)
            if slot is None:
                self._input.append(function_output(one.wanted.id, one.text))
            else:
                slot["output"] = one.text
        return self._written()

    def give_up(self) -> None:
        """The model goes on calling although it may not: what it has said is the answer."""
        self.is_over = True
        self._ending = "response.incomplete"
        self._last |= {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}

    # -- what goes to the client ----------------------------------------------------------------------------------

    @property
    def chain(self) -> tuple[str, str] | None:
        """The id that the client knows of a stream, and that by which the provider knows all of it."""
        is_kept = self._last.get("store") is True and self._ending == "response.completed"
        if not self._is_stream or self.has_failed or not is_kept:
            return None
        return str(self._first.get("id")), str(self._last.get("id"))

    def finish(self) -> bytes:
        """The whole reply, or the end of the stream."""
        reply = self._told(self._last)
        if self._first.get("created_at") is not None:
            reply["created_at"] = self._first["created_at"]
        if self._is_stream or self._last.get("store") is not True:
            # Else that of the last one, by which the provider knows all that was said.
            reply["id"] = self._first.get("id")
        reply["output"] = self._output
        if self._usage:
            reply["usage"] = self._usage
        if not self._is_stream:
            return _encode(reply)
        self._let_go()
        self._send(self._ending, {"response": reply})
        return self._written()

    def _list(self) -> None:
        """Tell which tools there are, of servers that the client does not know yet."""
        for entry in self._offers.entries:
            if entry.label in self._is_listed:
                continue
            item = {"id": f"mcpl_{entry.label}", "type": "mcp_list_tools", "server_label": entry.label, "tools": []}
            at = self._open(item)
            for kind in ("in_progress", "completed"):
                self._send(f"response.mcp_list_tools.{kind}", {"item_id": item["id"], "output_index": at})
            self._close(at, item | {"tools": [_listed(one) for one in self._offers.under(entry.label)]})

    def _ask(self, call: Members, one: Offer) -> None:
        """Have the user asked whether a call may be made."""
        wanted = wanted_of(one, call.get("call_id"), call.get("arguments"))
        item = {
            "id": id_of(Pending(wanted.id, one.public, wanted.arguments)),
            "type": "mcp_approval_request",
            "server_label": one.label,
            "name": one.name,
            "arguments": wanted.arguments,
        }
        self._close(self._open(item), item)

    def _offer_of(self, item: Members) -> Offer | None:
        return self._offers.of(item.get("name")) if item.get("type") == "function_call" else None

    def _told(self, response: Members) -> Members:
        """A response, as one of all rounds."""
        tools = [
            {**tool, **{name: None for name in SECRET if name in tool}} if tool.get("type") == KIND else tool
            for tool in self._body["tools"]
        ]
        return {**response, "tools": tools, "tool_choice": self._body.get("tool_choice") or "auto"}

    # -- events ---------------------------------------------------------------------------------------------------

    def _take_event(self, event: Members) -> None:
        kind = event.get("type")
        if kind in OPENINGS:
            if not self._first or self._waiting is not None:
                self._first = self._first or event["response"]
                self._send_now(kind, {**event, "response": self._told(event["response"])})
            return
        self._let_go()
        if kind in ENDINGS and not self.has_failed:
            self._last, self._ending = event["response"], str(kind)
        elif kind == "error" or event.get("error"):
            self.has_failed = True
            self._send(str(kind or "error"), event)
        elif "output_index" in event:
            self._take_placed(str(kind), event)
        else:
            self._send(str(kind), event)

    def _take_placed(self, kind: str, event: Members) -> None:
        """An event of an item."""
        index, item = event["output_index"], event.get("item")
        if kind == "response.output_item.added":
            self._places[index] = None if self._offer_of(item or {}) is not None else self._reserve()
        at = self._places.get(index)
        if kind == "response.output_item.done" and isinstance(item, dict):
            self._items.append(item)
            if at is not None:
                self._output[at] = item
        if at is not None:
            self._send(kind, {**event, "output_index": at})

    def _reserve(self) -> int:
        self._output.append({})
        return len(self._output) - 1

    def _open(self, item: Members) -> int:
        at = self._reserve()
        self._send("response.output_item.added", {"output_index": at, "item": item})
        return at

    def _close(self, at: int, item: Members) -> None:
        self._output[at] = item
        self._send("response.output_item.done", {"output_index": at, "item": item})

    def _let_go(self) -> None:
        """The response was created: what has waited for that follows."""
        waiting, self._waiting = self._waiting, None
        for kind, event in waiting or ():
            self._send_now(kind, event)

    def _send(self, kind: str, event: Members) -> None:
        if self._waiting is not None:
            self._waiting.append((kind, event))
        else:
            self._send_now(kind, event)

    def _send_now(self, kind: str, event: Members) -> None:
        if self._is_stream:
            told = {**event, "type": kind, "sequence_number": self._sequence}
            self._sequence += 1
            self._ready.append(b"event: %b\ndata: %b\n\n" % (kind.encode(), _encode(told)))

    def _written(self) -> bytes:
        ready, self._ready = self._ready, []
        return b"".join(ready)


def _tools(tools: Sequence[Any], offers: Offers) -> list[Any]:
    """Those of the client, with functions in the place of servers."""
    places = {one.place for one in offers.entries}
    own = [tool for place, tool in enumerate(tools) if place not in places]
    offers.set_apart(tool.get("name") for tool in own if isinstance(tool, dict))
    return own + [
        {
            "type": "function",
            "name": one.public,
            "description": one.definition.description or one.name,
            "parameters": schema_of(one),
            "strict": False,
        }
        for one in offers
    ]


def _choice(choice: Any, offers: Offers) -> Any:
    """The ``tool_choice``, with functions in the place of servers."""
    if not isinstance(choice, dict) or choice.get("type") != KIND:
        return choice
    if choice.get("name") is None:
        return "required"
    one = offers.named(str(choice.get("server_label")), str(choice["name"]))
    if one is None:
        # It is a server that the provider calls itself.
        return choice
    return {"type": "function", "name": one.public}


def _is_whole(item: Members) -> bool:
    """Whether an item can be given back where the provider keeps nothing."""
    return item.get("type") != "reasoning" or bool(item.get("encrypted_content"))


def _call_item(item_id: str, wanted: Wanted, status: str) -> Members:
    return {
        "id": item_id,
        "type": "mcp_call",
        "server_label": wanted.offer.label,
        "name": wanted.offer.name,
        "arguments": wanted.arguments,
        "approval_request_id": wanted.approval,
        "status": status,
        "output": None,
        "error": None,
    }


def _listed(one: Offer) -> Members:
    return {
        "name": one.name,
        "description": one.definition.description,
        "input_schema": schema_of(one),
        "annotations": one.definition.annotations,
    }
