"""A conversation, its answer and the events of a streamed answer, as no dialect writes them.

Every dialect of :mod:`pointsman.providers.dialects` reads its own wire format into these values and writes them into
it, so that any of them can be answered by any other. What only one of them has is carried as it is, with the name of
its dialect, so that nothing is lost unseen: see :class:`Foreign`, :attr:`ChatRequest.extras` and
:meth:`pointsman.providers.translation.Terms.lose`.

Conventions: ``None`` is "not said". JSON that belongs to the caller (schemas, arguments) is kept as it came: schemas as
decoded objects, arguments as text. Binary data is base64 text without a ``data:`` prefix.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from pointsman.errors import GatewayError
from pointsman.wire.usage import Usage

Role = Literal["system", "developer", "user", "assistant"]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
Finish = Literal["stop", "length", "tool_calls", "content_filter", "refusal", "pause"]
"""Why an answer ended: it was complete (a stop sequence counts), too long, wants tools called, was blocked by a filter,
was refused by the model, or pauses and wants to be asked to go on."""


class CacheMark(msgspec.Struct, frozen=True):
    """The provider shall cache the prompt up to and including the part that has this."""

    ttl: str | None = None
    """``5m`` or ``1h``."""


class Seal(msgspec.Struct, frozen=True):
    """What a provider adds to its reasoning to know it again: a signature, or the reasoning itself, encrypted.

    It is worth nothing to anybody but its origin.
    """

    origin: str
    """The dialect that made it."""
    text: str


class Text(msgspec.Struct):
    """Plain text."""

    text: str
    cache: CacheMark | None = None
    annotations: list[dict[str, Any]] = []
    """Citations, as OpenAI's chat annotations have them (``{"type": "url_citation", "url_citation": {...}}``)."""
    seal: Seal | None = None


class Image(msgspec.Struct, kw_only=True):
    """A picture: exactly one of ``url``, ``data`` and ``file_id``."""

    url: str | None = None
    data: str | None = None
    file_id: str | None = None
    media_type: str | None = None
    detail: str | None = None
    cache: CacheMark | None = None


class Audio(msgspec.Struct, kw_only=True):
    """Sound, given or generated."""

    data: str | None = None
    format: str | None = None
    """``wav``, ``mp3`` … as OpenAI names them."""
    id: str | None = None
    """Of a sound that the model made in an earlier turn."""
    transcript: str | None = None
    expires_at: int | None = None


class Document(msgspec.Struct, kw_only=True):
    """A file, or video: exactly one of ``text``, ``url``, ``data`` and ``file_id``."""

    text: str | None = None
    url: str | None = None
    data: str | None = None
    file_id: str | None = None
    media_type: str | None = None
    name: str | None = None
    title: str | None = None
    context: str | None = None
    has_citations: bool = False
    cache: CacheMark | None = None


class Thinking(msgspec.Struct):
    """Reasoning that the model shows, or with an empty text only proves by its seal."""

    text: str
    seal: Seal | None = None
    is_redacted: bool = False
    """Whether the reasoning is in the seal, encrypted, and there is no text."""
    id: str | None = None


class ToolCall(msgspec.Struct, kw_only=True):
    """The model wants a tool called."""

    id: str
    name: str
    arguments: str
    """JSON text of an object; free text for a ``custom`` tool."""
    kind: Literal["function", "custom"] = "function"
    namespace: str | None = None
    """The group of tools that it belongs to, where the dialect has such groups."""
    seal: Seal | None = None
    cache: CacheMark | None = None


class ToolResult(msgspec.Struct, kw_only=True):
    """What a tool has answered; stands in a turn of the user."""

    call_id: str
    parts: list[Text | Image | Document | Foreign]
    name: str | None = None
    """Of the tool, where it was said; :meth:`ChatRequest.tool_names` knows it of the calls before."""
    is_error: bool = False
    kind: Literal["function", "custom"] = "function"
    cache: CacheMark | None = None


class Refusal(msgspec.Struct):
    """The model says that it will not."""

    text: str


class Foreign(msgspec.Struct):
    """A part that only one dialect knows, such as the call of a tool on the provider's side."""

    dialect: str
    raw: dict[str, Any]
    """As it stands in that dialect."""


Part = Text | Image | Audio | Document | Thinking | ToolCall | ToolResult | Refusal | Foreign


class Turn(msgspec.Struct):
    """One message."""

    role: Role
    parts: list[Part]
    name: str | None = None
    extras: dict[str, Any] = {}
    """Members of the message that only the dialect of the request knows."""


class Tool(msgspec.Struct, kw_only=True):
    """A tool that the model may call."""

    name: str
    description: str | None = None
    schema: dict[str, Any] | None = None
    """JSON schema of its arguments; ``None``: none was given."""
    is_strict: bool | None = None
    kind: Literal["function", "custom", "foreign"] = "function"
    """``custom`` takes free text. ``foreign``: on the provider's side or of a kind that only ``dialect`` knows."""
    namespace: str | None = None
    dialect: str | None = None
    raw: dict[str, Any] | None = None
    """A custom or foreign tool as it stands in ``dialect``."""
    cache: CacheMark | None = None


class ToolChoice(msgspec.Struct, kw_only=True):
    """Whether a tool is to be called."""

    mode: Literal["auto", "none", "required", "tool"]
    """``required``: some tool; ``tool``: the one of ``name``."""
    name: str | None = None
    allowed: list[str] | None = None
    """Only these may be called, of all that are declared."""
    raw: Any = None
    """A choice that is none of these, as the dialect of the request has it; ``mode`` is then the nearest one."""


class Format(msgspec.Struct, kw_only=True):
    """The form that the answer shall have."""

    kind: Literal["json", "schema"]
    schema: dict[str, Any] | None = None
    name: str | None = None
    description: str | None = None
    is_strict: bool | None = None


class Reasoning(msgspec.Struct, kw_only=True):
    """How much the model shall think before it answers."""

    effort: Effort | None = None
    budget_tokens: int | None = None
    is_adaptive: bool = False
    """The model decides itself (Anthropic's ``adaptive``, Gemini's ``-1``)."""
    is_off: bool = False
    summary: str | None = None
    """``auto``, ``concise``, ``detailed``: how much of it to show."""
    is_shown: bool | None = None
    is_encrypted_wanted: bool = False
    """The answer shall hold its reasoning in encrypted form (``include: ["reasoning.encrypted_content"]``)."""


class ChatRequest(msgspec.Struct, kw_only=True):
    """A conversation that wants an answer."""

    dialect: str
    """The one that it came in."""
    model: str | None = None
    turns: list[Turn]
    tools: list[Tool] = []
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    format: Format | None = None
    reasoning: Reasoning | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: list[str] = []
    seed: int | None = None
    n: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    stream: bool = False
    include_usage: bool = False
    """Of OpenAI's chat streams: whether the last event shall report usage."""
    user: str | None = None
    """Who the end user is."""
    cache: CacheMark | None = None
    """For the whole prompt (Anthropic's top-level ``cache_control``)."""
    options: dict[str, Any] = {}
    """Further parameters of OpenAI's chat API by their names there, as they came: ``logit_bias``, ``modalities``,
    ``audio``, ``prediction``, ``verbosity``, ``service_tier``, ``store``, ``metadata``, ``prompt_cache_key``,
    ``safety_identifier``, ``web_search_options`` … Dialects that have the same thing by another name read it into
    these; which values mean the same is for the writer to know."""
    extras: dict[str, Any] = {}
    """Members that are not understood, as they stand in ``dialect``."""

    def tool_names(self) -> dict[str, str]:
        """Names of called tools by the id of the call."""
        return {part.id: part.name for turn in self.turns for part in turn.parts if isinstance(part, ToolCall)}


class Choice(msgspec.Struct, kw_only=True):
    """One of the ``n`` answers."""

    parts: list[Part]
    finish: Finish
    index: int = 0
    stop_sequence: str | None = None
    """The one that ended it."""
    detail: str | None = None
    """The provider's own word for the reason, where ``finish`` does not say it all."""
    logprobs: list[dict[str, Any]] | None = None
    """Entries of OpenAI's ``logprobs.content``."""


class Answer(msgspec.Struct, kw_only=True):
    """What a provider has answered."""

    choices: list[Choice]
    id: str | None = None
    model: str | None = None
    created: int | None = None
    """Unix time in seconds."""
    usage: Usage | None = None
    dialect: str
    """The one that it came in."""
    options: dict[str, Any] = {}
    """``service_tier`` and ``system_fingerprint``, as OpenAI has them."""
    extras: dict[str, Any] = {}
    """Members of the whole answer that only ``dialect`` knows."""


class Started(msgspec.Struct, kw_only=True, gc=False):
    """A stream begins. Comes first and once."""

    id: str | None = None
    model: str | None = None
    created: int | None = None
    usage: Usage | None = None
    """What is known of it so far: the input."""


class TextDelta(msgspec.Struct):
    """More text."""

    text: str
    choice: int = 0
    logprobs: list[dict[str, Any]] | None = None
    annotations: list[dict[str, Any]] | None = None
    """Of the text so far; the text here may then be empty."""


class RefusalDelta(msgspec.Struct, gc=False):
    """More of a refusal."""

    text: str
    choice: int = 0


class ThinkingDelta(msgspec.Struct, gc=False):
    """More reasoning."""

    text: str
    choice: int = 0


class ThinkingSealed(msgspec.Struct, gc=False):
    """The reasoning so far is complete and sealed; without any before it, it is redacted or has no text."""

    seal: Seal
    choice: int = 0
    is_redacted: bool = False


class ToolOpened(msgspec.Struct, kw_only=True, gc=False):
    """A tool call begins."""

    index: int
    """Counts the tool calls of a choice from 0."""
    id: str
    name: str
    choice: int = 0
    kind: Literal["function", "custom"] = "function"
    namespace: str | None = None
    seal: Seal | None = None


class ToolDelta(msgspec.Struct, gc=False):
    """More of a tool call's arguments."""

    index: int
    arguments: str
    choice: int = 0


class WholePart(msgspec.Struct):
    """A part that comes in one piece: a picture, a sound, something foreign."""

    part: Image | Audio | Document | Foreign
    choice: int = 0


class Finished(msgspec.Struct, gc=False):
    """A choice is complete."""

    finish: Finish
    choice: int = 0
    stop_sequence: str | None = None
    detail: str | None = None


class UsageSeen(msgspec.Struct, gc=False):
    """What was used up to here, all told; the last one counts."""

    usage: Usage


class Failed(msgspec.Struct):
    """The provider says that it has failed; nothing follows."""

    error: GatewayError


Event = (
    Started
    | TextDelta
    | RefusalDelta
    | ThinkingDelta
    | ThinkingSealed
    | ToolOpened
    | ToolDelta
    | WholePart
    | Finished
    | UsageSeen
    | Failed
)


def shown(seal: Seal, own: str) -> str:
    """A seal as text for a client of the dialect ``own``: with its origin before it, unless that is the same."""
    return seal.text if seal.origin == own else f"{seal.origin}{_MARK}{seal.text}"


def sealed(text: str, own: str) -> Seal:
    """The seal that a client of the dialect ``own`` gave back; the reverse of :func:`shown`."""
    origin, mark, rest = text.partition(_MARK)
    return Seal(origin, rest) if mark and origin in SEALERS else Seal(own, text)


_MARK = "#"
SEALERS = frozenset({"openai", "responses", "anthropic", "gemini", "converse"})
"""Dialects that seal reasoning. Their seals are base64, which has no ``#``."""
