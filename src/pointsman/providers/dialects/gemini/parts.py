"""Parts of an answer, in both directions. Those of requests are in ``contents.py`` and ``contents_in.py``."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from pointsman.errors import Inexpressible, UpstreamBroken
from pointsman.providers.dialects.gemini import wire
from pointsman.providers.dialects.gemini.media import read_blob, read_file, write_audio, write_document, write_image
from pointsman.providers.dialects.gemini.seals import NAME, SKIP_ENCODED, is_skip, write_seal
from pointsman.wire.chat import Audio, Document, Foreign, Image, Part, Refusal, Seal, Text, Thinking, ToolCall
from pointsman.wire.members import is_deeper_than
from pointsman.wire.peek import MAX_DEPTH

_NOT_IN_IDS: Final = re.compile(r"[^A-Za-z0-9_-]")


def call_id(call: wire.FunctionCall, answer: str, at: int) -> str:
    """The id of a call, or one made of the id of its answer: older models give none."""
    return call.id or f"call_{_NOT_IN_IDS.sub('', answer)}_{at}"


def arguments_of(call: wire.FunctionCall) -> str:
    """The arguments of a call as compact JSON text.

    :raises UpstreamBroken: they are no object
    """
    raw = bytes(call.args)
    if raw == b"null":
        return "{}"
    if not raw.startswith(b"{"):
        raise UpstreamBroken("The provider's tool call has arguments that are no object")
    try:
        return msgspec.json.format(raw, indent=-1).decode()
    except UnicodeDecodeError:
        raise UpstreamBroken("The provider's tool call has arguments that cannot be read") from None


def media_of(part: wire.Part) -> Image | Audio | Document | Foreign | None:
    """The part that comes in one piece; ``None``: it is none of these."""
    if part.inline_data is not None:
        return read_blob(part.inline_data.mime_type, part.inline_data.data)
    if part.file_data is not None:
        return read_file(part.file_data.file_uri, part.file_data.mime_type)
    for name, value in (
        ("executableCode", part.executable_code),
        ("codeExecutionResult", part.code_execution_result),
        ("toolCall", part.tool_call),
        ("toolResponse", part.tool_response),
    ):
        if value is not None:
            signature = {} if part.thought_signature is None else {"thoughtSignature": part.thought_signature}
            return Foreign(NAME, {name: value} | signature)
    return None


def seal_of(part: wire.Part) -> Seal | None:
    """The part's signature."""
    signature = part.thought_signature
    return Seal(NAME, signature) if signature and not is_skip(signature) else None


def write_part(  # noqa: PLR0911 - one for each kind
    part: Part, *, is_thinking_shown: bool
) -> dict[str, Any] | None:
    """A part for a client; ``None``: there is nothing to show.

    Reasoning that nobody asked for is left out, unless it is sealed and has to come back. Of a tool call with
    arguments that are no object nothing is written.
    """
    match part:
        case Text():
            return _sealed({"text": part.text}, part.seal) if part.text or part.seal else None
        case Refusal():
            return {"text": part.text}
        case Thinking() if part.seal is not None:
            signature = write_seal(part.seal, is_redacted=part.is_redacted)
            return {"text": part.text, "thought": True, "thoughtSignature": signature}
        case Thinking():
            return {"text": part.text, "thought": True} if is_thinking_shown else None
        case ToolCall():
            return write_call(part)
        case Foreign():
            return part.raw if part.dialect == NAME else None
        case Image() | Audio() | Document():
            return _media(part)
    return None


def write_call(call: ToolCall) -> dict[str, Any] | None:
    """A tool call for a client; ``None``: its arguments are no object."""
    arguments: Any = {"input": call.arguments}
    if call.kind == "function":
        encoded = call.arguments.encode() or b"{}"
        try:
            arguments = msgspec.json.decode(encoded)
        except (msgspec.DecodeError, RecursionError):
            return None
        if not isinstance(arguments, dict) or is_deeper_than(encoded, MAX_DEPTH):
            return None
    function = {"id": call.id} if call.id else {}
    return _sealed({"functionCall": function | {"name": call.name, "args": arguments}}, call.seal)


def mark_first_call(parts: list[dict[str, Any]]) -> bool:
    """Give the first call among ``parts`` a signature if it has none; gives whether there is a call.

    Models since Gemini 3 want one on it, and where the client goes on with one of those, what it holds passes as it is.
    """
    first = next((part for part in parts if "functionCall" in part), None)
    if first is not None:
        first.setdefault("thoughtSignature", SKIP_ENCODED)
    return first is not None


def _sealed(part: dict[str, Any], seal: Seal | None) -> dict[str, Any]:
    return part if seal is None else part | {"thoughtSignature": write_seal(seal)}


def _media(part: Image | Audio | Document) -> dict[str, Any] | None:
    try:
        if isinstance(part, Image):
            return write_image(part, "image")
        if isinstance(part, Document):
            return {"text": part.text} if part.text is not None else write_document(part, "document")
    except Inexpressible:  # a file that only the provider has
        return None
    wire = write_audio(part)
    return {"text": part.transcript} if wire is None and part.transcript else wire
