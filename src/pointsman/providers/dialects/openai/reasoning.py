"""Reasoning on the OpenAI wire, which OpenAI itself does not show and every vendor puts elsewhere.

Rules
-----
* Vendors want their reasoning back in the member that they sent it in, and many refuse a request that has it in any
  other: ``reasoning_content`` (DeepSeek, Moonshot, Z.ai …), ``reasoning`` (Groq, vLLM), parts of ``content`` (Mistral).
  So reasoning without a signature gets a :class:`~pointsman.wire.chat.Seal` that names its member.
* ``reasoning_details`` (OpenRouter) and the ``thinking_blocks`` of another gateway are signed. Their seal is the
  members themselves, as JSON in base64.
* Reasoning with any other seal, or with none, is left out of what goes to a provider.
* Clients get reasoning as LiteLLM shows it: the text as ``reasoning_content`` and, with a seal that is worth giving
  back, ``thinking_blocks`` in Anthropic's shape. A signature there without an origin is Anthropic's.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from pointsman.providers.dialects.openai.fields import Fields
from pointsman.wire.chat import Seal, Thinking, sealed, shown

NAME: Final = "openai"
CONTENT: Final = "reasoning_content"
PLAIN_MEMBERS: Final = (CONTENT, "reasoning")
"""Members of a message that are the reasoning's text; of a server that sends both, the first counts."""
PARTS: Final = "content"
"""The member, where reasoning is a part of the content."""
SIGNED_MEMBERS: Final = ("reasoning_details", "thinking_blocks")
_BLOCKS: Final = "anthropic"
"""Whose shape and seals ``thinking_blocks`` have."""
_TEXTS: Final = ("text", "summary", "thinking")
"""Where the text of an entry of the signed members stands."""
_encode: Final = msgspec.json.Encoder().encode


def member_seal(member: str) -> Seal:
    """The seal of reasoning that is its member's text."""
    return Seal(NAME, member)


def signed_seal(members: dict[str, list[Any]]) -> Seal:
    """The seal of reasoning that is signed."""
    return Seal(NAME, base64.b64encode(_encode(members)).decode())


def signed_text(entry: Any) -> str:
    """The text of one entry of a signed member."""
    if type(entry) is dict:
        for name in _TEXTS:
            if type(entry.get(name)) is str:
                return str(entry[name])
    return ""


def merge_signed(entries: list[Any], more: Iterable[Any]) -> None:
    """Add the entries of a chunk: pieces of one text become one, with the signature that comes with the last."""
    for entry in more:
        last = entries[-1] if entries else None
        if type(entry) is not dict or type(last) is not dict or not _are_pieces(last, entry):
            entries.append(entry)
            continue
        for name, value in entry.items():
            if name in _TEXTS and type(value) is str:
                last[name] = f"{last.get(name) or ''}{value}"
            elif value is not None:
                last[name] = value


def _are_pieces(last: dict[str, Any], entry: dict[str, Any]) -> bool:
    return last.get("type") == entry.get("type") and last.get("index") == entry.get("index") and "data" not in entry


def write_back(thoughts: list[Thinking], message: dict[str, Any]) -> None:
    """Put into an assistant's ``message`` the reasoning that its vendor has sent."""
    for thinking in thoughts:
        seal = thinking.seal
        if seal is None or seal.origin != NAME:
            continue
        if seal.text in PLAIN_MEMBERS:
            message[seal.text] = message.get(seal.text, "") + thinking.text
        elif seal.text == PARTS:
            _put_part(thinking.text, message)
        else:
            for name, entries in _open(seal.text).items():
                message[name] = [*message.get(name, ()), *entries]


def _put_part(text: str, message: dict[str, Any]) -> None:
    content = message.get("content")
    rest = content if type(content) is list else [{"type": "text", "text": content}] if content else []
    at = sum(part.get("type") == "thinking" for part in rest)
    message["content"] = [*rest[:at], {"type": "thinking", "thinking": [{"type": "text", "text": text}]}, *rest[at:]]


def _open(text: str) -> dict[str, list[Any]]:
    """The members in a seal; what is none was tampered with, and gives nothing back."""
    try:
        members = msgspec.json.decode(base64.b64decode(text, validate=True), type=dict[str, list[Any]])
    except (ValueError, msgspec.DecodeError, RecursionError):
        return {}
    return {name: entries for name, entries in members.items() if name in SIGNED_MEMBERS}


def read_block(fields: Fields) -> Thinking:
    """One of a client's ``thinking_blocks``, or such a part of its content.

    :raises InvalidRequest: it is not valid
    """
    if "data" in fields.rest:
        return read_redacted(fields)
    if type(fields.rest.get("thinking")) is list:
        text = "".join(Fields(part, fields.place("thinking")).text("text") or "" for part in fields.items("thinking"))
        return Thinking(text, member_seal(PARTS))
    signature = fields.text("signature")
    return Thinking(fields.text("thinking") or "", sealed(signature, _BLOCKS) if signature else None)


def read_redacted(fields: Fields) -> Thinking:
    """A ``redacted_thinking`` part.

    :raises InvalidRequest: it is not valid
    """
    return Thinking("", sealed(fields.needed_text("data"), _BLOCKS), is_redacted=True)


def read_given(fields: Fields) -> list[Thinking]:
    """The reasoning in an assistant's message that a client gives back.

    :raises InvalidRequest: it is not valid
    """
    place = fields.place("thinking_blocks")
    blocks = [Fields(block, f"{place}[{index}]") for index, block in enumerate(fields.items("thinking_blocks"))]
    thoughts = _joined([read_block(block) for block in blocks])
    details = fields.items("reasoning_details")
    plain = [(name, fields.text(name)) for name in PLAIN_MEMBERS]
    if any(thinking.seal is not None for thinking in thoughts):
        return thoughts
    name, text = next(((name, text) for name, text in plain if text is not None), (CONTENT, None))
    if details:
        text = text or "".join(map(signed_text, details))
        return [Thinking(text, signed_seal({"reasoning_details": details}), is_redacted=not text)]
    if text is not None:
        return [Thinking(text, member_seal(name))]
    return thoughts


def _joined(thoughts: list[Thinking]) -> list[Thinking]:
    """Blocks as clients gather them from a stream: the pieces of a text, and its signature after them."""
    joined: list[Thinking] = []
    for thinking in thoughts:
        last = joined[-1] if joined else None
        if last is None or last.seal is not None or thinking.is_redacted:
            joined.append(thinking)
        else:
            joined[-1] = Thinking(last.text + thinking.text, thinking.seal)
    return joined


def shown_block(thinking: Thinking) -> dict[str, Any] | None:
    """The block for ``thinking_blocks``; ``None`` where ``reasoning_content`` says it all."""
    seal = thinking.seal
    if seal is None or seal == member_seal(CONTENT):
        return None
    if thinking.is_redacted:
        return {"type": "redacted_thinking", "data": shown(seal, _BLOCKS)}
    return {"type": "thinking", "thinking": thinking.text, "signature": shown(seal, _BLOCKS)}
