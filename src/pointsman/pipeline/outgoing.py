"""What goes upstream, made anew for each attempt: another deployment has another model name, and other defaults."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Protocol

import msgspec

from pointsman.errors import InvalidRequest
from pointsman.pipeline.attempt import Attempt
from pointsman.pipeline.upload import Upload
from pointsman.pipeline.usage import text_bytes
from pointsman.wire import operations as op
from pointsman.wire.peek import Peek, ask_for_usage, insert_fields, peek, set_model, splice_model

USAGE_ON_REQUEST = (op.CHAT, op.COMPLETION)
"""Operations whose streams report usage only when asked."""
REFUSES_STREAM_OPTIONS = frozenset({"cohere"})
"""Dialects whose upstreams report usage unasked and take the question amiss."""

Request = tuple[bytes, bytes | AsyncIterator[bytes], int | None]
"""Head, body, and the body's length where it comes in pieces and that is known."""


class Outgoing(Protocol):
    """A request body that can be sent more than once."""

    @property
    def can_repeat(self) -> bool:
        """Whether it can be sent once more."""

    @property
    def text_bytes(self) -> int:
        """About how much text it holds."""

    @property
    def client_request(self) -> dict[str, Any] | None:
        """The client's request where answers have to be translated with it."""

    def request(self, attempt: Attempt) -> Request:
        """The request for the deployment of ``attempt``."""


class JsonBody:
    """A JSON request."""

    client_request: dict[str, Any] | None = None
    can_repeat = True

    def __init__(self, peeked: Peek, body: bytes) -> None:
        self._peeked = peeked
        self._body = body

    @property
    def text_bytes(self) -> int:
        """About how much text it holds."""
        return text_bytes(self._body)

    def request(self, attempt: Attempt) -> Request:
        """The body as the upstream shall have it: its model name, the operator's fields, usage asked for."""
        call = attempt.call
        return attempt.target.head(call.operation, call.headers), _fitted(attempt, self._peeked, self._body), None


class RerankBody:
    """A rerank request, which every dialect shapes in its own way.

    :raises InvalidRequest: it cannot be read
    """

    can_repeat = True

    def __init__(self, body: bytes) -> None:
        self.client_request: dict[str, Any] = _request(body)
        self.text_bytes = len(body)

    def request(self, attempt: Attempt) -> Request:
        """The body in the dialect of the deployment."""
        call, target = attempt.call, attempt.target
        body = msgspec.json.encode(target.codec.encode(self.client_request))
        body = _fitted(attempt, peek(op.RERANK, body), body)
        return target.head(call.operation, call.headers), body, None


class UploadBody:
    """A multipart request, whose body may still be arriving."""

    client_request: dict[str, Any] | None = None

    def __init__(self, upload: Upload) -> None:
        self._upload = upload
        self.text_bytes = 0

    @property
    def can_repeat(self) -> bool:
        """Whether everything that has arrived was kept."""
        return self._upload.is_held

    def request(self, attempt: Attempt) -> Request:
        """The form with the upstream's model name, from its beginning."""
        call, target, upload = attempt.call, attempt.target, self._upload
        splice = upload.splice(attempt.upstream_model)
        head = target.upload_head(call.operation, call.headers)
        return head, upload.outgoing(splice), upload.length(splice)


def _request(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"The body cannot be read: {error}") from error


def _fitted(attempt: Attempt, peeked: Peek, body: bytes) -> bytes:
    name = attempt.upstream_model
    if attempt.choice.overrides:
        body = insert_fields(body, {}, {**attempt.choice.overrides, "model": name})
    elif peeked.model is None:
        body = set_model(body, name)
    elif peeked.model != name or peeked.model_span is None:
        body = splice_model(body, peeked.model, name, peeked.model_span)
    deployment = attempt.target.deployment
    if deployment.defaults or deployment.overrides:
        body = insert_fields(body, deployment.defaults, deployment.overrides)
    if (
        peeked.stream
        and not peeked.include_usage
        and attempt.call.operation in USAGE_ON_REQUEST
        and deployment.vendor.dialect not in REFUSES_STREAM_OPTIONS
    ):
        body = ask_for_usage(body, has_stream_options=peeked.has_stream_options)
    return body
