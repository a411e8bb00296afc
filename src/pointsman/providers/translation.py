"""What a dialect does for chat: it reads and writes requests, answers and streams of :mod:`pointsman.wire.chat`.

A dialect module that is asked to call a provider has the functions of :class:`Outbound`, one that clients may speak to
the gateway those of :class:`Inbound`; most have both. Everything is pure: bytes or decoded JSON in, values out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import msgspec

from pointsman.errors import GatewayError
from pointsman.wire.chat import Answer, ChatRequest, Event
from pointsman.wire.usage import Usage

ADVISORY = frozenset(
    {
        "user",
        "voice",
        "metadata",
        "store",
        "service_tier",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "safety_identifier",
        "prediction",
        "strict",
        "parallel_tool_calls",
        "cache_control",
        "name",
        "phase",
        "context_management",
        "client_metadata",
        "detail",
        "max_chunks_per_doc",
        "max_tokens_per_doc",
        "max_tool_calls",
        "truncation",
        "verbosity",
        "include",
        "summary",
        "thinking",
    }
)
"""Parameters without which the same answer is meant: where the target has no such thing they are left out."""


class Terms(msgspec.Struct, kw_only=True):
    """What a request is written for, and what had to be left out of it."""

    model: str
    """The upstream's name of it."""
    max_output_tokens: int | None = None
    """What the model can write at most, where that is known: the default where the dialect insists on a limit."""
    drops: frozenset[str] = frozenset()
    """Parameters that the operator or the caller wants to be left out without a word."""
    allowed: frozenset[str] = frozenset()
    """Parameters that are sent on by their OpenAI name whatever the dialect says."""
    lost: list[str] = []
    """Names of the caller's parameters that the target cannot express, as the caller has written them."""

    def lose(self, param: str) -> None:
        """Note that ``param`` of the request is not expressed in what is written.

        The name is the caller's, with the place of it where that helps: ``top_k``, ``tools[2]``,
        ``messages[0].content[1]``.
        """
        if param not in self.lost:
            self.lost.append(param)


class ReplyTerms(msgspec.Struct, kw_only=True):
    """What an answer is written with."""

    model: str
    """The public name."""
    unique: str
    """Letters and digits that no other reply has: ids are made of it."""
    created: int
    """Unix time in seconds."""
    request: ChatRequest


class UpstreamRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What to send, below the address of a deployment."""

    path: str
    """With the query, if there is one; percent-encoded."""
    body: bytes
    content_type: str = "application/json"


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What the client gets."""

    body: bytes
    content_type: str = "application/json"
    usage: Usage | None = None


class UploadedFile(msgspec.Struct, frozen=True, kw_only=True):
    """The file of a form; stands in the place of its field."""

    name: str
    content_type: str
    data: bytes


class StreamReader(Protocol):
    """Reads one streamed answer."""

    @property
    def is_finished(self) -> bool:
        """Whether the provider has said that the answer is complete."""

    def read(self, name: bytes, data: bytes) -> Iterable[Event]:
        """Take one message of the stream: the event's name, where the framing has one, and its data.

        :raises UpstreamBroken: it cannot be understood
        """

    def close(self) -> Iterable[Event]:
        """The upstream has ended; gives what was held back."""


class StreamWriter(Protocol):
    """Writes one streamed reply."""

    def write(self, event: Event) -> bytes:
        """The event in the client's dialect, possibly nothing. Not called with :class:`~pointsman.wire.chat.Failed`."""

    def close(self) -> bytes:
        """What ends a complete stream. Called once; before it every choice was finished."""


class Outbound(Protocol):
    """A dialect in which providers are called."""

    NAME: str
    FRAMING: str
    """How streams are cut into messages: ``sse``, ``lines`` (JSON, one a line) or ``eventstream`` (Amazon's)."""

    def path(self, base_path: str, operation: str, model: str, *, is_stream: bool) -> str:
        """Path and query of an operation; ``base_path`` is the path of the deployment's address, possibly empty.

        ``operation`` is ``chat``, or the name of one of :mod:`pointsman.wire.operations` that the dialect has itself,
        whose bodies pass through.
        """

    def write_request(self, request: ChatRequest, terms: Terms) -> dict[str, Any]:
        """The body for the provider.

        What it cannot say goes to :meth:`Terms.lose`; it is for the caller of this to refuse or to go on.

        :raises InvalidRequest: the conversation as such cannot be expressed
        """

    def read_answer(self, body: bytes) -> Answer:
        """A provider's answer with status 200.

        :raises UpstreamBroken: it is none
        """

    def stream_reader(self) -> StreamReader:
        """A reader for one stream."""


class OtherOperation(Protocol):
    """An operation besides chat that a dialect has in a shape of its own: a module of two functions."""

    def write(self, body: dict[str, Any], terms: Terms, base_path: str) -> UpstreamRequest:
        """The request for the provider; ``body`` is OpenAI's, or of rerank Cohere's.

        Of a form it holds the fields, the file as an :class:`UploadedFile`.

        :raises InvalidRequest: it is not valid, or cannot be expressed
        """

    def read(self, answer: bytes, request: dict[str, Any]) -> Reply:
        """The provider's answer as the client expects it; ``request`` is the client's ``body``.

        :raises UpstreamBroken: it is none
        """


class Inbound(Protocol):
    """A dialect that clients speak to the gateway."""

    NAME: str

    def read_request(self, body: bytes) -> ChatRequest:
        """A client's request.

        :raises InvalidRequest: it is not valid; ``param`` names the place
        """

    def write_answer(self, answer: Answer, terms: ReplyTerms) -> dict[str, Any]:
        """The reply's body."""

    def stream_writer(self, terms: ReplyTerms) -> StreamWriter:
        """A writer for one stream."""

    def error_body(self, error: GatewayError) -> bytes:
        """The body of an error reply."""

    def error_event(self, error: GatewayError) -> bytes:
        """The event that ends a stream which has begun and fails."""
