"""Results that ask for something first, and the request as it is made again (SEP-2322)."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw

from pointsman.errors import UpstreamBroken
from pointsman.mcp.base import Asking
from pointsman.mcp.protocol.meta import members_of, with_members
from pointsman.wire.jsonrpc import NONE, raw

MAX_QUESTIONS: Final = 16
"""At a time."""


class Question(msgspec.Struct):
    """Something that the client has to do."""

    method: str
    params: Raw = NONE


class InputRequired(msgspec.Struct, rename="camel"):
    """A result that is not final."""

    result_type: str = ""
    input_requests: dict[str, Question] = {}
    request_state: str | None = None


def input_required(result: Raw) -> InputRequired | None:
    """What the server asks for; ``None``: the result is final."""
    if b'"input_required"' not in bytes(result):
        return None
    try:
        found = msgspec.json.decode(result, type=InputRequired)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return found if found.result_type == "input_required" else None


async def answered(params: Raw, asked: InputRequired, asking: Asking) -> Raw:
    """The parameters of the same request, when the client has done what the server wants.

    :raises RpcError: it has not
    :raises UpstreamBroken: the server wants too much
    """
    if len(asked.input_requests) > MAX_QUESTIONS:
        raise UpstreamBroken("The MCP server asked for too many things at a time")
    members = members_of(params)
    members.pop("requestState", None)
    members.pop("inputResponses", None)
    answers = {key: await asking.ask(one.method, one.params) for key, one in asked.input_requests.items()}
    added: dict[str, Any] = {"inputResponses": answers} if answers else {}
    if asked.request_state is not None:
        added["requestState"] = asked.request_state
    return with_members(raw(members), added)
