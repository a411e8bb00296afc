"""From an upstream's response to the reply: what is an answer, what is none, and how each kind goes downstream.

Nothing is sent before it is known to be an answer: whatever fails until then is raised, and another attempt can follow.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import msgspec

from pointsman.errors import GatewayError, UpstreamBroken, UpstreamError
from pointsman.pipeline.attempt import Attempt
from pointsman.pipeline.headers import header_lines, passed_headers
from pointsman.pipeline.relaying import outbound_of, relay_of
from pointsman.pipeline.stream import EventStream, relay_raw
from pointsman.pipeline.targets import Target
from pointsman.pipeline.translate import Translation
from pointsman.pipeline.usage import usage_of
from pointsman.providers.failures import classify, classify_inside
from pointsman.providers.scrub import hide_secrets, scrub
from pointsman.upstream.deadlines import Sweeper
from pointsman.upstream.response import Response
from pointsman.wire import operations as op
from pointsman.wire.answer import read_answer
from pointsman.wire.operations import Operation
from pointsman.wire.usage import Usage, splice_answer_model

MAX_ERROR_BYTES = 1024 * 1024
COMPLAINT_SECONDS = 5.0
MAX_ANSWER_BYTES = 256 * 1024 * 1024
JSON = b"application/json"
JSON_LINE = b"content-type: application/json\r\n"
HAS_CHOICES = (op.CHAT, op.COMPLETION)
IN_TEXT = (*op.CONVERSATIONS, *op.COUNTS, op.EMBEDDINGS, op.MODERATION, op.RERANK)
"""Operations that are answered with JSON, or with events where these were asked for, and with nothing else."""
UNTOLD: Final = Usage()


class _Run(msgspec.Struct):
    error: Any = None


_RUN: Final = msgspec.json.Decoder(_Run)


class Answers:
    """Takes responses for the pipeline."""

    def __init__(
        self,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
        unique: Callable[[], str],
        sweeper: Sweeper | None = None,
    ) -> None:
        """``unique`` gives letters and digits that no other reply has.

        ``sweeper`` watches over streams that begin and then say nothing.
        """
        self._clock = clock
        self._wall_clock = wall_clock
        self._unique = unique
        self._sweeper = sweeper

    async def take(self, attempt: Attempt, response: Response) -> None:
        """Reply with ``response``.

        :raises GatewayError: it is no answer, and nothing was sent
        """
        call, target = attempt.call, attempt.target
        kind = (response.header(b"content-type") or b"").lower()
        if not 200 <= response.status < 300:
            error = classify(
                response.status,
                response.headers,
                await _complaint(response),
                secrets=target.secrets,
                address=target.address,
                now=self._wall_clock(),
            )
            error.headers += passed_headers(response)
            raise error
        if call.is_stream and attempt.translation is not None and not kind.startswith(JSON):
            await self._stream(attempt, response)
        elif b"json" in kind or (not kind and call.operation is not op.SPEECH):
            body = await response.read(MAX_ANSWER_BYTES)
            attempt.answered = self._clock()
            self.answer(attempt, response, body)
        elif b"html" in kind:
            raise UpstreamBroken(operator_detail="the answer is an HTML page")
        elif kind.startswith(b"text/event-stream") and (call.is_stream or call.operation not in IN_TEXT):
            await self._stream(attempt, response)
        elif call.operation in IN_TEXT:
            raise UpstreamBroken(operator_detail=f"the answer is of the type {kind.decode('latin-1')[:80]!r}")
        else:
            attempt.charge(usage_of(call, b""))
            await relay_raw(attempt, response, self._clock)

    async def _stream(self, attempt: Attempt, response: Response) -> None:
        relay = relay_of(attempt, self._unique, self._wall_clock)
        await EventStream(attempt, response, relay, self._clock, self._sweeper).run()

    def answer(self, attempt: Attempt, response: Response, body: bytes) -> None:
        """Reply with the JSON ``body`` of ``response``.

        :raises GatewayError: it is no answer, and nothing was sent
        """
        call, target = attempt.call, attempt.target
        now = attempt.answered or self._clock()
        answer = read_answer(body, attempt.public_model)
        if answer is None:
            raise UpstreamBroken(operator_detail="the answer is not a JSON object")
        upstreams = body
        body = _without_error(answer.body, call.operation, target) if answer.may_hold_error else answer.body
        if call.is_stream and call.operation in op.CONVERSATIONS:
            attempt.charge(answer.usage)
            raise UpstreamBroken(operator_detail="the answer is JSON, and events were asked for")
        kind = JSON_LINE
        usage = answer.usage
        if attempt.translation is not None:
            body, usage = self._translated(attempt.translation, attempt, body)
        elif attempt.other is not None:
            reply = attempt.other.read(body, attempt.asked)
            body, usage = reply.body, reply.usage or usage
            if reply.content_type == "application/json":
                body = splice_answer_model(body, attempt.public_model)
            kind = b"content-type: %b\r\n" % reply.content_type.encode("latin-1")
        elif call.operation in HAS_CHOICES and body.find(b'"choices"') < 0:
            attempt.charge(usage)
            raise UpstreamBroken(operator_detail="the answer has no choices")
        elif call.operation is op.GENERATE_CONTENT:
            usage = outbound_of(call.operation).read_answer(body).usage
        if usage is None or (not usage.total_tokens and usage == UNTOLD):
            # Of an answer that stays here, nothing is written.
            usage = usage_of(call, body if attempt.translation is None else upstreams)
        attempt.charge(usage)
        attempt.commit()
        attempt.is_answered = True
        call.status = 200
        if call.routed is not None:
            call.routed.saw(body)
        call.downstream.reply(200, kind + header_lines(attempt, response, now), body)

    def _translated(self, translation: Translation, attempt: Attempt, body: bytes) -> tuple[bytes, Usage | None]:
        try:
            answer = translation.outbound.read_answer(body)
        except GatewayError as error:
            target = attempt.target
            error.message = scrub(error.message, secrets=target.secrets, address=target.address)
            error.operator_detail = hide_secrets(error.operator_detail or "", secrets=target.secrets) or None
            raise
        terms = translation.terms(attempt.public_model, self._unique(), int(self._wall_clock()))
        return msgspec.json.encode(translation.write(answer, terms)), answer.usage


def _without_error(body: bytes, operation: Operation, target: Target) -> bytes:
    """A body that has an ``error``, and is an answer: a run's, whose message is scrubbed as it is the upstream's text.

    :raises GatewayError: it is none
    """
    inside = classify_inside(body, secrets=target.secrets, address=target.address)
    if inside is not None:
        raise inside
    if operation is not op.RESPONSES:
        return body
    try:
        told = _RUN.decode(body).error
        if not isinstance(told, dict) or not isinstance(told.get("message"), str):
            return body
        told["message"] = scrub(told["message"], secrets=target.secrets, address=target.address)
        return msgspec.json.encode(msgspec.json.decode(body) | {"error": told})
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamBroken(operator_detail="the answer is not a JSON object") from error


async def _complaint(response: Response) -> bytes:
    """The body of an error answer; nothing where it is too long, is cut or does not come: the status is what counts."""
    try:
        async with asyncio.timeout(COMPLAINT_SECONDS):
            return await response.read(MAX_ERROR_BYTES)
    except (UpstreamError, TimeoutError):
        return b""
