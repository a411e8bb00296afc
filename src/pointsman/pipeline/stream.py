"""Answers that arrive piece by piece, from the upstream's socket to the client's.

A piece is looked at and written in the callback that received it: no task, no queue. When the client is slower than
the upstream, the upstream is paused; when either of them goes, the other one is let go.

Theory of operation: events are held until the first output is among them, so that everything which can go wrong
before that (an error event, an empty or endless silence, something that is not JSON) leaves the reply unwritten and
another attempt possible. After it a failure becomes an error event, never a clean end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from pointsman.errors import GatewayError, UpstreamBroken, UpstreamTimeout
from pointsman.pipeline.attempt import Attempt
from pointsman.pipeline.headers import header_lines
from pointsman.pipeline.race import Outrun
from pointsman.providers.failures import classify_inside
from pointsman.providers.scrub import scrub
from pointsman.upstream.deadlines import Sweeper
from pointsman.upstream.response import Response
from pointsman.wire import operations as op
from pointsman.wire.failure import error_body
from pointsman.wire.sse import SseRelay, error_event, is_sound
from pointsman.wire.usage import Usage, estimate_tokens

EVENT_LINES = b"content-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\nx-accel-buffering: no\r\n"
DONE = b"data: [DONE]\n\n"
FAILED_EVENT = b"event: response.failed\ndata: %b\n\n"
FAILED_RUN = b'"response.failed"'
MAX_EVENT_BYTES = 1024 * 1024
MAX_IMAGE_EVENT_BYTES = 32 * 1024 * 1024
"""An event of an image stream holds a whole picture."""
MAX_HELD_BYTES = 65_536
"""What is held before the first output; more of something else is let through."""
HOLD_SECONDS = 15.0
"""After so long what an upstream sends to keep the connection alive goes on: between here and the client there may be
somebody who cuts silent connections."""
PROOF_SECONDS = 2.0
"""How long a stream has to prove that it is as quick as is wanted, from its first output."""
MARKED_ENDS = frozenset({op.CHAT.name, op.COMPLETION.name, op.RESPONSES.name})
"""Operations whose streams say that they are finished; without it, the upstream was cut."""


class EventStream:
    """Relays one stream of server-sent events."""

    def __init__(
        self, attempt: Attempt, response: Response, clock: Callable[[], float], sweeper: Sweeper | None = None
    ) -> None:
        call = attempt.call
        peeked = call.peeked
        is_image = call.operation.mode == "image_generation"
        self._attempt = attempt
        self._call = call
        self._target = attempt.target
        self._response = response
        self._clock = clock
        self._sweeper = sweeper
        self._held: list[bytes] | None = []
        self._held_bytes = 0
        self._has_sent_end = False
        """Whether what says that the stream is complete has gone downstream."""
        # Where there is nobody else, slow is better than nothing.
        self._floor = attempt.target.min_chars_per_second if len(attempt.choice.match.group.members) > 1 else None
        self._relay = SseRelay(
            attempt.public_model,
            strip_usage=peeked is not None and not peeked.include_usage,
            withhold_errors=True,
            max_event_bytes=MAX_IMAGE_EVENT_BYTES if is_image else MAX_EVENT_BYTES,
        )

    async def run(self) -> None:
        """Relay to the end.

        :raises GatewayError: before anything was sent
        """
        attempt, call, relay = self._attempt, self._call, self._relay
        downstream = call.downstream
        ending = self._response.relay(self._take)
        if self._held is not None and self._sweeper is not None:
            self._sweeper.add(self)
        try:
            await ending
            self._send(relay.close())
            if self._held is not None:
                self._release_ended()
            if not relay.is_finished and (relay.is_typed or call.operation.name in MARKED_ENDS):
                self._end_unmarked()
            attempt.is_answered = True
        except GatewayError as error:
            if not downstream.is_started:
                raise
            if self._has_sent_end and not relay.has_error:
                # It has said all, and then only failed to say goodbye.
                attempt.is_answered = True
            else:
                attempt.error = error.with_traceback(None)
                call.note(error)
                call.status = error.status
                downstream.write(error_event(error_body(error)))
        finally:
            if self._sweeper is not None:
                self._sweeper.discard(self)
            attempt.answered = self._clock()
            attempt.charge(relay.usage or self._estimate())
        downstream.finish()

    def sweep(self, _now: float) -> None:
        """Give up a stream that has begun and brings no output, or brings it too slowly to prove itself."""
        now, attempt = self._clock(), self._attempt
        if self._held is None:
            return
        if attempt.ttft is None:
            if now > attempt.sent + attempt.timeouts.first_byte:
                self._response.give_up(UpstreamTimeout(operator_detail=f"{self._target.address}: no output in time"))
            elif self._held and now > attempt.sent + HOLD_SECONDS:
                try:
                    self._release(self._held)
                except Outrun as outrun:
                    self._response.give_up(outrun)
        elif now > attempt.sent + attempt.ttft + PROOF_SECONDS:
            self._response.give_up(UpstreamTimeout(operator_detail=f"{self._target.address}: the output is too slow"))

    def _take(self, piece: bytes) -> None:
        had_failed = self._relay.has_error
        out = self._relay.feed(piece)
        failed = self._relay.error_body
        if failed is None or had_failed:
            self._send(out)
        elif FAILED_RUN in failed and self._held is not None:
            self._fail(_error_of_run(failed))
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
        if not is_sound(out):
            raise UpstreamBroken(operator_detail=f"{self._target.address}: an event that is not JSON")
        if self._held is None:
            self._call.downstream.write(out)
        else:
            self._hold(out, self._held)
        self._has_sent_end = self._held is None and self._relay.is_finished

    def _hold(self, out: bytes, held: list[bytes]) -> None:
        attempt, relay = self._attempt, self._relay
        held.append(out)
        self._held_bytes += len(out)
        if attempt.ttft is None and relay.has_output:
            attempt.ttft = self._clock() - attempt.sent
            attempt.member.hear(attempt.ttft)
        is_proven = relay.has_output and (
            self._floor is None or relay.is_finished or self._has_pace(self._floor, attempt.ttft or 0.0)
        )
        if is_proven or self._held_bytes > MAX_HELD_BYTES:
            self._release(held)

    def _has_pace(self, floor: float, ttft: float) -> bool:
        """Whether a second's output has come within the time that it may take."""
        return self._relay.output_bytes >= floor and self._clock() - self._attempt.sent - ttft <= PROOF_SECONDS

    def _release(self, held: list[bytes]) -> None:
        attempt, call = self._attempt, self._call
        attempt.commit()
        self._held = None
        call.status = 200
        attempt.answered = now = self._clock()
        call.downstream.start(200, EVENT_LINES + header_lines(attempt, self._response, now))
        call.downstream.flow_to(self._response)
        call.downstream.write(held[0] if len(held) == 1 else b"".join(held))

    def _release_ended(self) -> None:
        """Let a stream go that has ended without output: a model may have nothing to say, if it says that properly."""
        relay, held = self._relay, self._held
        if not held or not relay.chunks:
            raise UpstreamBroken(operator_detail=f"{self._target.address}: the stream was empty")
        # [DONE] alone is no answer: a choice has to say why there is nothing.
        has_reason = relay.has_ending or (relay.is_typed and relay.is_finished)
        if self._call.operation.name in MARKED_ENDS and not has_reason:
            raise UpstreamBroken(operator_detail=f"{self._target.address}: the stream ended before its first output")
        self._release(held)

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


def _error_of_run(data: bytes) -> bytes:
    """The error of a ``response.failed`` event, as an error event has it."""
    event: dict[str, Any] = msgspec.json.decode(data)
    run = event.get("response")
    return msgspec.json.encode({"error": (run.get("error") if isinstance(run, dict) else None) or "the run failed"})


async def relay_raw(attempt: Attempt, response: Response, clock: Callable[[], float]) -> None:
    """Relay an answer that is neither JSON nor events: audio, subtitles, images.

    :raises GatewayError: before anything was sent; later the connection is cut, as bytes have no error event
    """
    call, downstream = attempt.call, attempt.call.downstream

    def start() -> None:
        kind = response.header(b"content-type") or b"application/octet-stream"
        length = response.header(b"content-length")
        attempt.commit()
        attempt.answered = now = clock()
        lines = header_lines(attempt, response, now)
        call.status = 200
        downstream.start(200, b"content-type: %b\r\n%b" % (kind, lines), int(length) if length else None)
        downstream.flow_to(response)

    def take(piece: bytes) -> None:
        if not downstream.is_started:
            start()
        downstream.write(piece)

    try:
        await response.relay(take)
        if not downstream.is_started:
            raise UpstreamBroken(operator_detail=f"{attempt.target.address}: the answer was empty")
        attempt.is_answered = True
    except GatewayError as error:
        if not downstream.is_started:
            raise
        attempt.error = error
        call.note(error)
        call.status = error.status
        downstream.cut()
        return
    downstream.finish()
