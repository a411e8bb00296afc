"""Answers that arrive piece by piece, from the upstream's socket to the client's.

A piece is looked at and written in the callback that received it: no task, no queue. When the client is slower than
the upstream, the upstream is paused; when either of them goes, the other one is let go.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from pointsman.errors import GatewayError, UpstreamBroken
from pointsman.pipeline.call import Call
from pointsman.pipeline.targets import Target
from pointsman.providers.failures import classify_inside
from pointsman.providers.scrub import scrub
from pointsman.upstream.response import Response
from pointsman.wire import operations as op
from pointsman.wire.failure import error_body
from pointsman.wire.sse import SseRelay, error_event
from pointsman.wire.usage import Usage, estimate_tokens

EVENT_LINES = b"content-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\nx-accel-buffering: no\r\n"
DONE = b"data: [DONE]\n\n"
FAILED_EVENT = b"event: response.failed\ndata: %b\n\n"
FAILED_RUN = b'"response.failed"'
MAX_EVENT_BYTES = 1024 * 1024
MAX_IMAGE_EVENT_BYTES = 32 * 1024 * 1024
"""An event of an image stream holds a whole picture."""
MARKED_ENDS = frozenset({op.CHAT.name, op.COMPLETION.name, op.RESPONSES.name})
"""Operations whose streams say that they are finished; without it, the upstream was cut."""


class EventStream:
    """Relays one stream of server-sent events.

    Nothing is sent before the first piece, so that an early failure keeps its status.
    A failure after it becomes an error event, never a clean end.
    """

    def __init__(
        self, call: Call, target: Target, response: Response, lines: bytes, clock: Callable[[], float]
    ) -> None:
        peeked = call.peeked
        is_image = call.operation.mode == "image_generation"
        self._call = call
        self._target = target
        self._response = response
        self._lines = EVENT_LINES + lines
        self._clock = clock
        self._relay = SseRelay(
            call.public_model,
            strip_usage=peeked is not None and not peeked.include_usage,
            withhold_errors=True,
            max_event_bytes=MAX_IMAGE_EVENT_BYTES if is_image else MAX_EVENT_BYTES,
        )

    async def run(self) -> None:
        """Relay to the end.

        :raises GatewayError: before anything was sent
        """
        call, relay = self._call, self._relay
        downstream = call.downstream
        try:
            await self._response.relay(self._take)
            self._send(relay.close())
            if not downstream.is_started:
                raise UpstreamBroken(operator_detail="the stream was empty")
            if not relay.is_finished and call.operation.name in MARKED_ENDS:
                self._end_unmarked()
        except GatewayError as error:
            if not downstream.is_started:
                raise
            call.note(error)
            call.status = error.status
            downstream.write(error_event(error_body(error)))
        finally:
            call.answered = self._clock()
            call.usage = relay.usage or self._estimate()
        downstream.finish()

    def _take(self, piece: bytes) -> None:
        out = self._relay.feed(piece)
        failed = self._relay.error_body
        if failed is None:
            self._send(out)
        elif FAILED_RUN in failed:
            # The last event of a Responses stream: an answer, but its message is the upstream's own text.
            clean = self._without_secrets(failed)
            self._send(out.replace(failed, clean) if failed in out else FAILED_EVENT % clean)
        else:
            self._send(out)
            self._fail(failed)

    def _send(self, out: bytes) -> None:
        if not out:
            return
        for secret in self._target.secret_bytes:
            # Whatever shape the text comes in: an upstream that quotes its credential does not get through.
            if secret in out:
                out = out.replace(secret, b"***")
        call = self._call
        downstream = call.downstream
        if call.ttft is None and self._relay.has_output:
            call.ttft = self._clock() - call.sent
        if not downstream.is_started:
            call.status = 200
            downstream.start(200, self._lines)
            downstream.flow_to(self._response)
        downstream.write(out)

    def _without_secrets(self, data: bytes) -> bytes:
        """The data of a ``response.failed`` event with its message scrubbed."""
        event: dict[str, Any] = msgspec.json.decode(data)
        run = event.get("response")
        error = run.get("error") if isinstance(run, dict) else None
        if isinstance(error, dict) and isinstance(error.get("message"), str):
            target = self._target
            error["message"] = scrub(error["message"], secrets=target.secrets, address=target.address)
        return msgspec.json.encode(event)

    def _fail(self, body: bytes) -> None:
        """Stop at an error event, which the relay has withheld: it may name what is not the caller's business."""
        target = self._target
        error = classify_inside(body, secrets=target.secrets, address=target.address)
        raise error or UpstreamBroken("The provider's stream ended in an error")

    def _end_unmarked(self) -> None:
        if not self._relay.has_ending:
            raise UpstreamBroken("The provider's stream was cut off", operator_detail="no end marker")
        self._call.downstream.write(DONE)

    def _estimate(self) -> Usage | None:
        """What a cut or silent stream has cost, as nearly as bytes can tell."""
        if not self._relay.output_bytes:
            return None
        given, made = estimate_tokens(self._call.given_bytes), estimate_tokens(self._relay.output_bytes)
        return Usage(input_tokens=given, output_tokens=made, total_tokens=given + made)


async def relay_raw(call: Call, response: Response, lines: bytes) -> None:
    """Relay an answer that is neither JSON nor events: audio, subtitles, images.

    :raises GatewayError: before anything was sent; later the connection is cut, as bytes have no error event
    """
    downstream = call.downstream
    kind = response.header(b"content-type") or b"application/octet-stream"
    length = response.header(b"content-length")
    call.status = 200
    downstream.start(200, b"content-type: %b\r\n%b" % (kind, lines), int(length) if length else None)
    downstream.flow_to(response)
    try:
        await response.relay(downstream.write)
    except GatewayError as error:
        call.note(error)
        call.status = error.status
        downstream.cut()
        return
    downstream.finish()
