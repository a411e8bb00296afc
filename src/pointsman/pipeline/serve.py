"""One request through the four verbs: admit, plan, attempt, settle.

The edge has told the caller from a stranger. Here the body is peeked at, a deployment is drawn, the body goes out with
the upstream's model name and the answer comes back with the public one. Nothing waits for anything it does not need:
an answer that fits in memory is one write, a stream goes from socket to socket without a task of its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from pointsman.errors import GatewayError, InvalidRequest, NoDeployment, UpstreamBroken
from pointsman.pipeline.call import Call, Inbound
from pointsman.pipeline.downstream import Downstream
from pointsman.pipeline.stream import EventStream, relay_raw
from pointsman.pipeline.targets import Target
from pointsman.pipeline.upload import Upload
from pointsman.pipeline.usage import given_text, usage_of
from pointsman.providers.costs import cost_usd
from pointsman.providers.failures import classify, classify_inside, holds_error
from pointsman.routing.groups import Groups
from pointsman.upstream.response import Response
from pointsman.wire import operations as op
from pointsman.wire.answer import read_answer
from pointsman.wire.peek import Peek, ask_for_usage, insert_fields, peek, set_model, splice_model

MAX_ERROR_BYTES = 1024 * 1024
MAX_ANSWER_BYTES = 256 * 1024 * 1024
USAGE_ON_REQUEST = frozenset({op.CHAT.name, op.COMPLETION.name})
"""Operations whose streams report usage only when asked."""
REFUSES_STREAM_OPTIONS = frozenset({"cohere"})
"""Dialects whose upstreams report usage unasked and take the question amiss."""
PASSED_HEADERS = frozenset({b"openai-processing-ms", b"openai-version", b"x-request-id", b"request-id"})
RATE_LIMIT_PREFIX = b"x-ratelimit-"
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

    async def serve(self, inbound: Inbound, body: bytes, downstream: Downstream) -> None:
        """Answer a JSON request.

        :raises GatewayError: as long as ``downstream.is_started`` is false, the caller renders it
        """
        peeked = peek(inbound.operation, body)
        call = self._plan(inbound, peeked.model, downstream)
        call.peeked = peeked
        call.body_bytes = len(body)
        call.given_text = given_text(inbound.operation, body)
        target = call.target
        if inbound.operation is op.RERANK:
            request = msgspec.json.decode(body)
            body = msgspec.json.encode(target.codec.encode(request))
            peeked = peek(inbound.operation, body)
            await self._attempt(call, self._outgoing(call, peeked, body), request=request)
        else:
            await self._attempt(call, self._outgoing(call, peeked, body))

    async def serve_upload(self, inbound: Inbound, upload: Upload, downstream: Downstream) -> None:
        """Answer a multipart request, whose body is still arriving.

        :raises GatewayError: as long as ``downstream.is_started`` is false, the caller renders it
        """
        model = await upload.find_model()
        call = self._plan(inbound, model, downstream)
        splice = upload.splice(_upstream_model(call))
        await self._attempt(call, upload.outgoing(splice), length=upload.length(splice))

    def _plan(self, inbound: Inbound, asked: str | None, downstream: Downstream) -> Call:
        operation = inbound.operation
        model = inbound.path_model or asked
        if model is None and operation in (op.CHAT, op.COMPLETION):
            model = self._default_model
        if model is not None:
            match = self._groups.match(model)
        elif operation.needs_model:
            raise InvalidRequest("The request names no model: set 'model'", param="model")
        else:
            match = self._groups.for_operation(operation)
        deployment = match.group.draw(self._chance())
        target = self._targets.get(deployment.id)
        if target is None:
            raise NoDeployment(f"No deployment of the model {match.group.name!r} can be used")
        return Call(inbound, downstream, match, target, model or match.group.name)

    def _outgoing(self, call: Call, peeked: Peek, body: bytes) -> bytes:
        name = _upstream_model(call)
        if peeked.model is None:
            body = set_model(body, name)
        else:
            body = splice_model(body, peeked.model, name, peeked.model_span)
        deployment = call.target.deployment
        if deployment.defaults or deployment.overrides:
            body = insert_fields(body, deployment.defaults, deployment.overrides)
        if (
            peeked.stream
            and not peeked.include_usage
            and call.inbound.operation.name in USAGE_ON_REQUEST
            and deployment.vendor.dialect not in REFUSES_STREAM_OPTIONS
        ):
            body = ask_for_usage(body, has_stream_options=peeked.has_stream_options)
        return body

    async def _attempt(
        self,
        call: Call,
        body: bytes | AsyncIterator[bytes],
        *,
        length: int | None = None,
        request: dict[str, Any] | None = None,
    ) -> None:
        target, inbound = call.target, call.inbound
        is_stream = call.peeked is not None and call.peeked.stream
        timeouts = target.stream_timeouts if is_stream else target.timeouts
        response: Response | None = None
        call.sent = self._clock()
        try:
            if isinstance(body, bytes):
                head = target.head(inbound.operation, inbound.headers)
            else:
                head = target.upload_head(inbound.operation, inbound.headers)
            response = await target.upstream.send(head, body, length=length, timeouts=timeouts)
            call.answered = self._clock()
            await self._relay(call, response, request)
        except GatewayError as error:
            call.failure = type(error).__name__
            if not call.downstream.is_started:
                call.status = error.status
            raise
        finally:
            if response is not None:
                response.abort()
            self._settle(call)

    async def _relay(self, call: Call, response: Response, request: dict[str, Any] | None) -> None:
        target = call.target
        if not 200 <= response.status < 300:
            body = await response.read(MAX_ERROR_BYTES)
            raise classify(
                response.status,
                response.headers,
                body,
                secrets=target.secrets,
                address=target.address,
                now=self._wall_clock(),
            )
        kind = (response.header(b"content-type") or b"").lower()
        if kind.startswith(b"text/event-stream"):
            await EventStream(call, response, self._head_lines(call, response), self._clock).run()
        elif b"json" in kind or (not kind and call.inbound.operation is not op.SPEECH):
            await self._relay_json(call, response, request)
        elif b"html" in kind:
            raise UpstreamBroken(operator_detail="the answer is an HTML page")
        else:
            await relay_raw(call, response, self._head_lines(call, response))

    async def _relay_json(self, call: Call, response: Response, request: dict[str, Any] | None) -> None:
        body = await response.read(MAX_ANSWER_BYTES)
        target = call.target
        call.answered = self._clock()
        call.ttft = call.answered - call.sent
        answer = read_answer(body, call.public_model)
        if answer is None:
            raise UpstreamBroken(operator_detail="the answer is not a JSON object")
        if answer.may_hold_error and holds_error(body):
            inside = classify_inside(body, secrets=target.secrets, address=target.address)
            if inside is not None:
                raise inside
        call.usage = usage_of(call.inbound.operation, call.given_text, answer)
        call.cost = self._cost(call)
        body = answer.body
        if request is not None:
            body = msgspec.json.encode(target.codec.decode(msgspec.json.decode(body), request))
        call.status = 200
        call.downstream.reply(200, JSON_LINE + self._head_lines(call, response), body)

    def _head_lines(self, call: Call, response: Response) -> bytes:
        """Reply header lines about this call; what is unknown is left out."""
        inbound, target = call.inbound, call.target
        now = self._clock()
        call.overhead = overhead = max(0.0, now - inbound.received - ((call.answered or now) - call.sent))
        is_configured = call.match.captured is None
        lines = [
            inbound.identity,
            target.named_lines(call.public_model, inbound.is_master, is_configured),
            b"x-litellm-overhead-duration-ms: %d.%03d\r\n" % divmod(int(overhead * 1e6), 1000),
        ]
        if call.cost is not None:
            lines.append(b"x-litellm-response-cost: %b\r\n" % format(call.cost.normalize(), "f").encode())
        for name, value in response.headers:
            if name in PASSED_HEADERS or name.startswith(RATE_LIMIT_PREFIX):
                lines += (b"llm_provider-", name, b": ", value, b"\r\n")
        return b"".join(lines)

    def _cost(self, call: Call) -> Decimal | None:
        return None if call.usage is None else cost_usd(call.target.price(call.match.captured), call.usage)

    def _settle(self, call: Call) -> None:
        if call.cost is None:
            call.cost = self._cost(call)
        now = self._clock()
        meter = call.target.meter(call.match.group.name, call.inbound.operation)
        meter.observe(
            call.status,
            now - call.inbound.received,
            (call.answered or now) - call.sent,
            call.ttft,
            call.overhead,
            usage=call.usage,
            cost=None if call.cost is None else float(call.cost),
            exception_class=call.failure,
        )
        call.downstream.is_settled = True


def _upstream_model(call: Call) -> str:
    name = call.target.deployment.upstream_model
    return name if call.match.captured is None else name.replace("*", call.match.captured)
