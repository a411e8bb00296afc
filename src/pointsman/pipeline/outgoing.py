"""What goes upstream, made anew for each attempt: another deployment has another model name, and other defaults."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol

import msgspec

from pointsman.errors import Inexpressible, InvalidRequest
from pointsman.pipeline.attempt import Attempt
from pointsman.pipeline.call import Call
from pointsman.pipeline.defaults import merged
from pointsman.pipeline.seals import has_foreign_seal
from pointsman.pipeline.translate import AS_IT_IS, Conversation, Shaping, Translation, Way, judge, without
from pointsman.pipeline.upload import Upload
from pointsman.pipeline.usage import text_bytes
from pointsman.providers.custom_tools import as_functions, custom_names
from pointsman.providers.translation import OtherOperation, Outbound, Terms, UploadedFile
from pointsman.wire import operations as op
from pointsman.wire.operations import Operation
from pointsman.wire.peek import Peek, ask_for_usage, insert_fields, set_model, splice_model

NONE: frozenset[str] = frozenset()
SEALING = (op.MESSAGES, op.RESPONSES, op.GENERATE_CONTENT)
"""Operations whose bodies hold seals of reasoning that their own provider would refuse if it had not made them."""
IN_PATH = (op.GENERATE_CONTENT, op.GEMINI_COUNT_TOKENS)
"""Operations whose paths name the model."""
TAKES_CUSTOM_TOOLS = frozenset({"openai", "azure"})
"""Vendors whose chat takes them; others have OpenAI's wire as it was before."""
MAX_FORM_BYTES = 64 * 1024 * 1024
"""Of an upload that has to be put into another shape, and so to be held in memory."""
USAGE_ON_REQUEST = (op.CHAT, op.COMPLETION)
"""Operations whose streams report usage only when asked."""

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

    async def prepare(self, attempt: Attempt) -> None:
        """Get ready what the request for the deployment of ``attempt`` is made of."""

    def request(self, attempt: Attempt) -> Request:
        """The request for the deployment of ``attempt``."""


class JsonBody:
    """A JSON request.

    ``shape`` is the operation whose body it is, where that is not the one that was called. ``wish`` is the caller's.
    """

    __slots__ = ("_body", "_conversation", "_has_foreign_seal", "_is_plain", "_peeked", "_shape", "_wish")

    can_repeat = True

    def __init__(self, peeked: Peek, body: bytes, shape: Operation | None = None, wish: Shaping = AS_IT_IS) -> None:
        self._peeked = peeked
        self._body = body
        self._shape = shape
        self._wish = wish
        self._is_plain = shape is None and wish is AS_IT_IS and peeked.model is not None
        """Whether it passes to every deployment that wants nothing to be different."""
        self._conversation: Conversation | None = None
        self._has_foreign_seal: bool | None = None

    @property
    def text_bytes(self) -> int:
        """About how much text it holds."""
        return text_bytes(self._body)

    async def prepare(self, attempt: Attempt) -> None:
        """All of it is there."""

    def request(self, attempt: Attempt) -> Request:
        """The body as the upstream shall have it: its model name, the operator's fields, usage asked for.

        :raises Inexpressible: the deployment cannot take it
        """
        call, target = attempt.call, attempt.target
        if self._is_plain and target.is_plain and call.operation not in SEALING and not attempt.choice.overrides:
            # The usual case, spelled out: the model's name is the only thing that changes.
            head = target.head(call.operation, call.headers, is_stream=call.is_stream)
            if head is not None:
                return head, self._spliced(attempt.upstream_model, call.operation), None
        if self._is_translated(call):
            way = target.translation(attempt.upstream_model, is_stream=call.is_stream)
            return self._translated(attempt, way, self._shape or call.operation)
        head = target.head(call.operation, call.headers, is_stream=call.is_stream)
        if head is not None:
            return head, self._passed(attempt), None
        way = target.way(call.operation, attempt.upstream_model, is_stream=call.is_stream)
        if way.other is not None:
            return self._other(attempt, way.other, way.path)
        if way.chat is not None:
            return self._translated(attempt, way, call.operation)
        body = self._passed(attempt)
        if way.adapt is not None:
            body = _encode(way.adapt(_request(body)))
        return target.native_head_to(way.path, call.headers), body, None

    def _spliced(self, name: str, operation: Operation) -> bytes:
        peeked, body = self._peeked, self._body
        if peeked.model != name or peeked.model_span is None:
            body = splice_model(body, peeked.model, name, peeked.model_span)
        if peeked.stream and not peeked.include_usage and operation in USAGE_ON_REQUEST:
            body = ask_for_usage(body, has_stream_options=peeked.has_stream_options)
        return body

    def _is_translated(self, call: Call) -> bool:
        """Whether the body cannot pass even to whom it speaks the dialect of.

        It is another one's, or its answer has to be put into another form, or it holds a seal that only another
        provider knows.
        """
        if self._shape is not None or call.is_array:
            return True
        if call.operation not in SEALING:
            return False
        if self._has_foreign_seal is None:
            self._has_foreign_seal = has_foreign_seal(self._body)
        return self._has_foreign_seal

    def _passed(self, attempt: Attempt) -> bytes:
        """The body, as it came but for the little that the deployment wants to be different."""
        body = _fitted(attempt, self._peeked, self._body)
        wish, quirks = self._shaping(attempt), attempt.target.quirks
        if wish.drops:
            body = drop_members(body, tuple(wish.drops))
        if quirks is not None and attempt.call.operation is op.CHAT and quirks.concern(body):
            terms = Terms(model=attempt.upstream_model, lost=[])
            body = _encode(quirks.fit(_request(body), terms.lose))
            attempt.dropped = judge(terms, wish, attempt.target.deployment.vendor.name)
        return body

    def _shaping(self, attempt: Attempt) -> Shaping:
        own = attempt.target.shaping
        return own if self._wish is AS_IT_IS else own.and_also(self._wish)

    def _translated(self, attempt: Attempt, way: Way, shape: Operation) -> Request:
        call, target = attempt.call, attempt.target
        deployment, outbound = target.deployment, way.chat
        assert outbound is not None
        if self._conversation is None:
            self._conversation = Conversation(self._body, call.operation, shape)
        conversation = self._conversation
        request = conversation.request(
            deployment.defaults, attempt.choice.overrides, attempt.upstream_model, is_stream=call.is_stream
        )
        custom = NONE if takes_custom_tools(outbound, deployment.vendor.name) else custom_names(request)
        wish = self._shaping(attempt)
        terms = Terms(
            model=_called(attempt),
            max_output_tokens=deployment.max_output_tokens,
            drops=wish.drops,
            allowed=wish.allowed,
            lost=[],
        )
        try:
            body = outbound.write_request(as_functions(request) if custom else request, terms)
        except InvalidRequest:
            # A message that is empty without what was lost: the loss is the cause.
            judge(terms, wish, deployment.vendor.name)
            raise
        if target.quirks is not None:
            body = target.quirks.fit(body, terms.lose)
        attempt.dropped = judge(terms, wish, deployment.vendor.name)
        body |= deployment.overrides
        if wish.drops:
            body = without(body, tuple(wish.drops))
        if way.adapt is not None:
            body = way.adapt(body)
        attempt.translation = Translation(
            outbound=outbound,
            inbound=conversation.writer,
            request=request,
            merges_reasoning=deployment.merges_reasoning,
            custom=custom,
        )
        return target.head_to(way.path, "application/json", call.headers), _encode(body), None

    def _other(self, attempt: Attempt, other: OtherOperation, root: str) -> Request:
        """A request of an operation that the dialect shapes in its own way."""
        call, target = attempt.call, attempt.target
        deployment = target.deployment
        # As the caller has it, but for the model and what the operator and the caller have set.
        body = _request(insert_fields(self._body, {}, attempt.choice.overrides))
        body = {**deployment.defaults, **body, **deployment.overrides}
        body["model"] = _called(attempt)
        wish = self._shaping(attempt)
        terms = Terms(model=body["model"], drops=wish.drops, allowed=wish.allowed, lost=[])
        asked = other.write(without(body, tuple(wish.drops)), terms, root)
        attempt.dropped = judge(terms, wish, deployment.vendor.name)
        attempt.other = other
        attempt.asked = body
        return target.head_to(asked.path, asked.content_type, call.headers), asked.body, None


class UploadBody:
    """A multipart request, whose body may still be arriving."""

    def __init__(self, upload: Upload) -> None:
        self._upload = upload
        self.text_bytes = 0
        self.form: dict[str, str | list[str] | UploadedFile] | None = None
        """Its fields and files, where all of it was read before."""

    @property
    def can_repeat(self) -> bool:
        """Whether everything that has arrived was kept."""
        return self._upload.is_held

    async def prepare(self, attempt: Attempt) -> None:
        """Read all of the form where the deployment wants it in another shape.

        :raises InvalidRequest: the form is malformed
        :raises BodyTooLarge: it is too long for that
        """
        if self.form is None and not attempt.target.takes_form(attempt.call.operation):
            self.form = await self._upload.read_form(MAX_FORM_BYTES)

    def request(self, attempt: Attempt) -> Request:
        """The form with the upstream's model name, from its beginning.

        :raises Inexpressible: the deployment cannot take it
        """
        call, target, upload = attempt.call, attempt.target, self._upload
        if not target.takes_form(call.operation):
            return self._other(attempt)
        splice = upload.splice(attempt.upstream_model)
        head = target.upload_head(call.operation, call.headers, attempt.upstream_model)
        return head, upload.outgoing(splice), upload.length(splice)

    def _other(self, attempt: Attempt) -> Request:
        call, target = attempt.call, attempt.target
        way = target.way(call.operation, attempt.upstream_model, is_stream=call.is_stream)
        if way.other is None or self.form is None:
            raise Inexpressible(f"The provider of {target.deployment.model_name!r} takes no such form")
        deployment = target.deployment
        body: dict[str, Any] = {**deployment.defaults, **self.form, **deployment.overrides, "model": _called(attempt)}
        wish = target.shaping
        terms = Terms(model=_called(attempt), drops=wish.drops, allowed=wish.allowed, lost=[])
        asked = way.other.write(body, terms, way.path)
        attempt.dropped = judge(terms, wish, target.deployment.vendor.name)
        attempt.other = way.other
        attempt.asked = body
        return target.head_to(asked.path, asked.content_type, call.headers), asked.body, None


def takes_custom_tools(outbound: Outbound, vendor: str) -> bool:
    """Whether tools that take free text can be declared: OpenAI's can, in both of its dialects."""
    return outbound.NAME == "responses" or (outbound.NAME == "openai" and vendor in TAKES_CUSTOM_TOOLS)


_encode = msgspec.json.Encoder().encode


def _request(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"The body cannot be read: {error}") from error


def drop_members(body: bytes, paths: Sequence[str]) -> bytes:
    """``body`` without what ``paths`` name.

    :raises InvalidRequest: it cannot be read
    """
    return _encode(without(_request(body), paths))


def _called(attempt: Attempt) -> str:
    """What the body calls the model."""
    cloud = attempt.target.cloud
    return attempt.upstream_model if cloud is None else cloud.name(attempt.upstream_model)


def _fitted(attempt: Attempt, peeked: Peek, body: bytes) -> bytes:
    operation, overrides = attempt.call.operation, attempt.choice.overrides
    if operation in IN_PATH:
        body = insert_fields(body, {}, overrides)
    else:
        name = _called(attempt)
        if overrides:
            body = insert_fields(body, {}, {**overrides, "model": name})
        elif peeked.model is None:
            body = set_model(body, name)
        elif peeked.model != name or peeked.model_span is None:
            body = splice_model(body, peeked.model, name, peeked.model_span)
    deployment = attempt.target.deployment
    if (deployment.defaults or deployment.overrides) and operation not in op.COUNTS:
        body = _with_operators(attempt, body)
    if peeked.stream and not peeked.include_usage and operation in USAGE_ON_REQUEST:
        body = ask_for_usage(body, has_stream_options=peeked.has_stream_options)
    return body


def _with_operators(attempt: Attempt, body: bytes) -> bytes:
    """``body`` with what the operator has set for the deployment, in the words of the dialect that it is in."""
    target = attempt.target
    deployment = target.deployment
    if attempt.call.operation not in SEALING:
        return insert_fields(body, deployment.defaults, deployment.overrides)
    defaults = target.native_defaults(attempt.call.operation, _called(attempt))
    if defaults:
        body = _encode(merged(_request(body), defaults))
    return insert_fields(body, {}, deployment.overrides)
