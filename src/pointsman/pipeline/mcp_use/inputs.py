"""The ``input`` of a request to the Responses API, with what an earlier answer has told of MCP servers.

A model knows functions only. So calls of tools that stand in the input are written as those of functions, lists of
tools are left out, and where the user has approved a call it is made before the model is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from pointsman.errors import InvalidRequest
from pointsman.pipeline.mcp_use.approvals import Pending, pending_of
from pointsman.pipeline.mcp_use.offers import Offers, Wanted

CALL_ID: Final = "mcp_"
"""Stands before the id of a call as the id of its item."""
DENIED: Final = "Error: the user has not approved this call"
GONE: Final = "Error: there is no such tool any more"
Members = dict[str, Any]


class Read(msgspec.Struct):
    """An input, read."""

    items: list[Any]
    approved: list[Wanted]
    """Calls that are to be made; each has its place among the items already."""
    slots: dict[str, Members]
    """The items that take what such a call answers, by its id."""
    listed: set[str]
    """Labels of servers whose tools the client knows already."""


def read_input(value: Any, offers: Offers, *, is_chained: bool) -> Read:
    """Read the ``input``; ``is_chained``: what was before is kept by the provider.

    :raises InvalidRequest: an approval is none
    """
    items = value if isinstance(value, list) else [{"role": "user", "content": value}] if value is not None else []
    labels = [one.label for one in offers.entries]
    read = Read([], [], {}, set())
    called: set[str] = set()
    ways: dict[Any, Callable[[Members], None]] = {
        "mcp_list_tools": lambda item: read.listed.add(item["server_label"]),
        "mcp_call": lambda item: read.items.extend(_call(item, offers)),
        "mcp_approval_request": lambda item: read.items.extend(_asked(item, called)),
    }
    for place, item in enumerate(items):
        kind = item.get("type") if isinstance(item, dict) else None
        if kind == "mcp_approval_response":
            _answer(item, read, offers, called, place, is_chained=is_chained)
        elif isinstance(kind, str) and kind in ways and item.get("server_label") in labels:
            ways[kind](item)
        else:
            read.items.append(item)
    return read


def function_call(call_id: str, name: str, arguments: str) -> Members:
    """A call of a function, as the model has made it."""
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}


def function_output(call_id: str, text: str) -> Members:
    """What it has answered."""
    return {"type": "function_call_output", "call_id": call_id, "output": text}


def _call(item: Members, offers: Offers) -> list[Members]:
    label, name = str(item.get("server_label")), str(item.get("name"))
    one = offers.named(label, name)
    call_id = str(item.get("id", "")).removeprefix(CALL_ID)
    output = item.get("output")
    if not isinstance(output, str):
        output = "Error" if item.get("error") is None else _text_of_error(item["error"])
    public = name if one is None else one.public
    return [function_call(call_id, public, str(item.get("arguments") or "{}")), function_output(call_id, output)]


def _text_of_error(error: Any) -> str:
    content = error.get("content") if isinstance(error, dict) else None
    if isinstance(content, list) and content and isinstance(content[0], dict):
        return str(content[0].get("text", "Error"))
    return str(error.get("message", "Error")) if isinstance(error, dict) else str(error)


def _asked(item: Members, called: set[str]) -> list[Members]:
    pending = pending_of(str(item.get("id")))
    if pending is None:
        raise InvalidRequest("An mcp_approval_request has an id that is not the gateway's", param="input")
    called.add(pending.call_id)
    return [function_call(pending.call_id, pending.name, pending.arguments)]


def _answer(item: Members, read: Read, offers: Offers, called: set[str], place: int, *, is_chained: bool) -> None:
    request_id = str(item.get("approval_request_id"))
    pending = pending_of(request_id)
    if pending is None:
        # It may be about a server that the provider calls itself.
        read.items.append(item)
        return
    if not isinstance(item.get("approve"), bool):
        raise InvalidRequest(f"Invalid 'input[{place}].approve': expected true or false", param=f"input[{place}]")
    if pending.call_id not in called and not is_chained:
        read.items.append(function_call(pending.call_id, pending.name, pending.arguments))
    slot = function_output(pending.call_id, _refusal(item, pending, offers))
    read.items.append(slot)
    one = offers.of(pending.name)
    if item["approve"] and one is not None:
        read.slots[pending.call_id] = slot
        read.approved.append(Wanted(id=pending.call_id, offer=one, arguments=pending.arguments, approval=request_id))


def _refusal(item: Members, pending: Pending, offers: Offers) -> str:
    if offers.of(pending.name) is None:
        return GONE
    reason = item.get("reason")
    return f"{DENIED}: {reason}" if isinstance(reason, str) and reason else DENIED
