"""One request through the four verbs: admit, plan, attempt, settle.

The edge has told the caller from a stranger. Here the body is peeked at, a deployment is drawn, the body goes out with
the upstream's model name and the answer comes back with the public one. Nothing waits for anything it does not need:
an answer that fits in memory is one write, a stream goes from socket to socket without a task of its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import msgspec

from pointsman.errors import GatewayError, InternalError, InvalidRequest, NoDeployment, UpstreamBroken
from pointsman.pipeline.call import Call, upstream_model
from pointsman.pipeline.headers import header_lines, passed_headers
from pointsman.pipeline.stream import EventStream, relay_raw
from pointsman.pipeline.targets import Target
from pointsman.pipeline.upload import Upload
from pointsman.pipeline.usage import given_text, text_bytes, usage_of
from pointsman.providers.costs import cost_usd
from pointsman.providers.failures import classify, classify_inside, holds_error
from pointsman.routing.groups import Groups
from pointsman.upstream.response import Response
from pointsman.wire import operations as op
from pointsman.wire.answer import read_answer
from pointsman.wire.peek import Peek, ask_for_usage, insert_fields, peek, set_model, splice_model
from pointsman.wire.usage import Usage

MAX_ERROR_BYTES = 1024 * 1024
MAX_ANSWER_BYTES = 256 * 1024 * 1024
USAGE_ON_REQUEST = (op.CHAT, op.COMPLETION)
"""Operations whose streams report usage only when asked."""
REFUSES_STREAM_OPTIONS = frozenset({"cohere"})
"""Dialects whose upstreams report usage unasked and take the question amiss."""
JSON = b"application/json"
JSON_LINE = b"content-type: application/json\r\n"


class Pipeline:
    """Serves the requests of one snapshot."""

    def __init__(
        self,
        groups: Groups,
        targets: Mapping[str, Target],
        *,
        default_model: str | None,
        max_body_bytes: int,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
        chance: Callable[[], float],
    ) -> None:
        self._groups = groups
        self._targets = targets
        self._default_model = default_model
        self.max_body_bytes = max_body_bytes
        self._clock = clock
        self._wall_clock = wall_clock
        self._chance = chance

    async def serve(self, call: Call, body: bytes) -> None:
        """Answer a JSON request.

        :raises GatewayError: as long as ``call.downstream.is_started`` is false, the caller renders it
        """
        operation = call.operation
        peeked = call.peeked = peek(operation, body)
        target = self._plan(call, peeked.model)
        call.given_bytes = text_bytes(body) if peeked.stream else 0
        request: dict[str, Any] | None = None
        if operation is op.SPEECH:
            call.given_text = given_text(body)
        elif operation is op.RERANK:
            request = _request(body)
            body = msgspec.json.encode(target.codec.encode(request))
            peeked = peek(operation, body)
        body = _outgoing(call, target, peeked, body)
        await self._attempt(call, target, target.head(operation, call.headers), body, request=request)

    async def serve_upload(self, call: Call, upload: Upload) -> None:
        """Answer a multipart request, whose body is still arriving.

        :raises GatewayError: as long as ``call.downstream.is_started`` is false, the caller renders it
        """
        target = self._plan(call, await upload.find_model())
        splice = upload.splice(upstream_model(call, target))
        head = target.upload_head(call.operation, call.headers)
        await self._attempt(call, target, head, upload.outgoing(splice), length=upload.length(splice))

    def _plan(self, call: Call, asked: str | None) -> Target:
        operation = call.operation
        model = call.path_model or asked
        if model is None and operation in USAGE_ON_REQUEST:
            model = self._default_model
        if model is not None:
            if not model.isprintable():
                # In a form or a header, a line break would become one.
                raise InvalidRequest("'model' must not hold control characters", param="model")
            match = self._groups.match(model)
        elif operation.needs_model:
            raise InvalidRequest("The request names no model: set 'model'", param="model")
        else:
            match = self._groups.for_operation(operation)
        group = match.group
        call.group = group.name
        call.public_model = model or group.name
        call.captured = match.captured
        target = self._targets.get(group.draw(self._chance()).id)
        if target is None:
            raise NoDeployment(f"No deployment of the model {group.name!r} can be used")
        return target

    async def _attempt(
        self,
        call: Call,
        target: Target,
        head: bytes,
        body: bytes | AsyncIterator[bytes],
        *,
        length: int | None = None,
        request: dict[str, Any] | None = None,
    ) -> None:
        timeouts = target.stream_timeouts if call.peeked is not None and call.peeked.stream else target.timeouts
        response: Response | None = None
        call.sent = self._clock()
        try:
            response = await target.upstream.send(head, body, length=length, timeouts=timeouts)
            call.answered = self._clock()
            kind = response.header(b"content-type") or b""
            if kind == JSON and response.status == 200:
                whole = response.whole()
                if whole is None:
                    whole = await response.read(MAX_ANSWER_BYTES)
                self._answer(call, target, response, whole, request)
            else:
                await self._relay(call, target, response, kind.lower(), request)
        except GatewayError as error:
            call.note(error)
            raise
        except Exception:
            call.note(InternalError())
            raise
        finally:
            if response is not None:
                response.abort()
            self._settle(call, target)

    async def _relay(
        self, call: Call, target: Target, response: Response, kind: bytes, request: dict[str, Any] | None
    ) -> None:
        """Relay what is not the usual answer: streams, files, errors."""
        if not 200 <= response.status < 300:
            error = classify(
                response.status,
                response.headers,
                await response.read(MAX_ERROR_BYTES),
                secrets=target.secrets,
                address=target.address,
                now=self._wall_clock(),
            )
            error.headers += passed_headers(response)
            raise error
        if b"json" in kind or (not kind and call.operation is not op.SPEECH):
            self._answer(call, target, response, await response.read(MAX_ANSWER_BYTES), request)
            return
        if b"html" in kind:
            raise UpstreamBroken(operator_detail="the answer is an HTML page")
        if kind.startswith(b"text/event-stream"):
            lines = header_lines(call, target, response, self._clock())
            await EventStream(call, target, response, lines, self._clock).run()
        else:
            self._charge(call, target, usage_of(call, b""))
            await relay_raw(call, response, header_lines(call, target, response, self._clock()))

    def _answer(
        self, call: Call, target: Target, response: Response, body: bytes, request: dict[str, Any] | None
    ) -> None:
        call.answered = now = self._clock()
        answer = read_answer(body, call.public_model)
        if answer is None:
            raise UpstreamBroken(operator_detail="the answer is not a JSON object")
        if answer.may_hold_error and holds_error(body):
            inside = classify_inside(body, secrets=target.secrets, address=target.address)
            if inside is not None:
                raise inside
        self._charge(call, target, answer.usage or usage_of(call, answer.body))
        body = answer.body
        if request is not None:
            body = msgspec.json.encode(target.codec.decode(_decoded(body), request))
        call.status = 200
        call.downstream.reply(200, JSON_LINE + header_lines(call, target, response, now), body)

    @staticmethod
    def _charge(call: Call, target: Target, usage: Usage | None) -> None:
        call.usage = usage
        if usage is not None:
            call.cost = cost_usd(target.price(call.captured), usage)

    def _settle(self, call: Call, target: Target) -> None:
        if call.cost is None:
            self._charge(call, target, call.usage)
        now = self._clock()
        target.meter(call.group, call.operation).observe(
            call.status,
            now - call.received,
            (now if call.answered is None else call.answered) - call.sent,
            call.ttft,
            call.overhead,
            call.usage,
            None if call.cost is None else float(call.cost),
            call.failure,
            is_deployments_fault=call.is_deployments_fault,
        )
        call.downstream.is_settled = True


def _request(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"The body cannot be read: {error}") from error


def _decoded(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise UpstreamBroken(operator_detail="the answer is not valid JSON") from error


def _outgoing(call: Call, target: Target, peeked: Peek, body: bytes) -> bytes:
    """The body as the upstream shall have it."""
    name = upstream_model(call, target)
    if peeked.model is None:
        body = set_model(body, name)
    elif peeked.model != name or peeked.model_span is None:
        body = splice_model(body, peeked.model, name, peeked.model_span)
    deployment = target.deployment
    if deployment.defaults or deployment.overrides:
        body = insert_fields(body, deployment.defaults, deployment.overrides)
    if (
        peeked.stream
        and not peeked.include_usage
        and call.operation in USAGE_ON_REQUEST
        and deployment.vendor.dialect not in REFUSES_STREAM_OPTIONS
    ):
        body = ask_for_usage(body, has_stream_options=peeked.has_stream_options)
    return body
