"""Parameters that the operator sets for a deployment, in OpenAI's words, for requests in any dialect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from pointsman.errors import InternalError, InvalidRequest
from pointsman.providers.dialects import openai
from pointsman.providers.translation import Outbound, Terms
from pointsman.wire.chat import ChatRequest, Text, Turn

_HELLO: Final = {"role": "user", "content": "hello"}
_OWN: Final = frozenset({"dialect", "model", "turns", "stream", "include_usage", "options", "extras"})
"""Fields that are the request's, whatever the operator says."""
_encode: Final = msgspec.json.Encoder().encode


def read_defaults(defaults: Mapping[str, Any]) -> ChatRequest:
    """The operator's parameters as those of a conversation.

    :raises InternalError: they are none; the detail says why
    """
    try:
        return openai.read_request(_encode({"messages": [_HELLO], **defaults}))
    except InvalidRequest as error:
        raise InternalError(operator_detail=f"a parameter of the deployment: {error.message}") from None


def with_defaults(request: ChatRequest, defaults: ChatRequest) -> ChatRequest:
    """A copy of ``request`` with the operator's parameters where it says nothing itself."""
    known = {
        name: value
        for name in ChatRequest.__struct_fields__
        if name not in _OWN and getattr(request, name) in (None, []) and (value := getattr(defaults, name)) is not None
    }
    extras = {**defaults.extras, **request.extras} if request.dialect == openai.NAME else request.extras
    return msgspec.structs.replace(request, **known, options={**defaults.options, **request.options}, extras=extras)


def native_defaults(outbound: Outbound, defaults: Mapping[str, Any], model: str) -> dict[str, Any]:
    """The operator's parameters as members of a body in the dialect of ``outbound``; what it cannot say is left out."""
    plain = ChatRequest(dialect=openai.NAME, model=model, turns=[Turn("user", [Text("hello")])])
    without = outbound.write_request(plain, Terms(model=model, lost=[]))
    told = outbound.write_request(with_defaults(plain, read_defaults(defaults)), Terms(model=model, lost=[]))
    return {name: value for name, value in told.items() if without.get(name) != value}


def merged(body: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """``body`` with the members of ``defaults`` that it has not, also within objects that both have."""
    out = {**defaults, **body}
    for name, value in defaults.items():
        given = body.get(name)
        if isinstance(value, dict) and isinstance(given, dict):
            out[name] = merged(given, value)
    return out
