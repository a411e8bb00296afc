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
from pointsman.pipeline.call import Call
from pointsman.pipeline.headers import header_lines
from pointsman.pipeline.race import Outrun
from pointsman.pipeline.relays import Relay
from pointsman.pipeline.usage import conversed
from pointsman.providers.codecs import INBOUND
from pointsman.providers.dialects import gemini, openai
from pointsman.providers.failures import classify_inside
from pointsman.providers.scrub import hide_secrets, scrub
from pointsman.upstream.deadlines import Sweeper
from pointsman.upstream.response import Response
from pointsman.wire import operations as op
from pointsman.wire.sse import is_sound
from pointsman.wire.usage import Usage

EVENT_LINES = b"content-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\nx-accel-buffering: no\r\n"
JSON_LINES = b"content-type: application/json\r\n"
DONE = b"data: [DONE]\n\n"
MESSAGE_STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
FAILED_EVENT = b"event: response.failed\ndata: %b\n\n"
FAILED_RUN = b'"response.failed"'
MAX_HELD_BYTES = 65_536
"""What is held before the first output; more of something else is let through."""
HOLD_SECONDS = 15.0
"""After so long what an upstream sends to keep the connection alive goes on: between here and the client there may be
somebody who cuts silent connections."""
PROOF_SECONDS = 2.0
"""How long a stream has to prove that it is as quick as is wanted, from its first output."""
MARKED_ENDS = frozenset(operation.name for operation in op.CONVERSATIONS)
"""Operations whose streams say that they are finished; without it, the upstream was cut."""
ENDS = {op.CHAT.name: DONE, op.COMPLETION.name: DONE, op.MESSAGES.name: MESSAGE_STOP}
"""How they say it, where saying why the answer has ended is not the same."""


class EventStream:
    """Relays one stream of server-sent events."""

    def __init__(
        self,
        attempt: Attempt,
        response: Response,
        relay: Relay,
        clock: Callable[[], float],
        sweeper: Sweeper | None = None,
    ) -> None:
        call = attempt.call
        self._attempt = attempt
        self._call = call
        self._target = attempt.target
        self._response = response
        self._clock = clock
        self._sweeper = sweeper
        self._held: list[bytes] | None = []
        self._held_bytes = 0
        # Where there is nobody else, slow is better than nothing.
        self._floor = attempt.target.min_chars_per_second if len(attempt.choice.match.group.members) > 1 else None
        self._relay = relay
        self._is_own = attempt.translation is not None
        """Whether the events are ours, and so are well-formed."""

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
            if relay.is_finished and relay.error_body is None and relay.failure is None and self._has_closed():
                # It has said all, and then only failed to say goodbye.
                attempt.is_answered = True
            else:
                attempt.error = error.with_traceback(None)
                call.note(error)
                call.status = error.status
                downstream.write(error_event(call, error))
        finally:
            if self._sweeper is not None:
                self._sweeper.discard(self)
            attempt.answered = self._clock()
            attempt.charge(self._usage())
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
        had_failed = self._relay.error_body is not None
        out = self._relay.feed(piece)
        if self._relay.failure is not None and self._relay.error_body is None:
            self._send(out)
            raise self._clean(self._relay.failure)
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
        if not self._is_own and not is_sound(out):
            raise UpstreamBroken(operator_detail=f"{self._target.address}: an event that is not JSON")
        if self._call.routed is not None:
            self._call.routed.saw(out)
        if self._held is None:
            self._call.downstream.write(out)
        else:
            self._hold(out, self._held)

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
        kind = JSON_LINES if call.is_array else EVENT_LINES
        call.downstream.start(200, kind + header_lines(attempt, self._response, now))
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
        event = _decoded(data)
        run = event.get("response")
        error = run.get("error") if isinstance(run, dict) else None
        if isinstance(error, dict) and isinstance(error.get("message"), str):
            target = self._target
            error["message"] = scrub(error["message"], secrets=target.secrets, address=target.address)
        return msgspec.json.encode(event)

    def _has_closed(self) -> bool:
        """Send what ends a complete stream; false where something after its end cannot be understood."""
        try:
            self._send(self._relay.close())
        except UpstreamBroken:
            return False
        return True

    def _usage(self) -> Usage | None:
        """What the provider says was used; of a stream that was cut, at least what has come through."""
        relay = self._relay
        said, seen = relay.usage, self._estimate()
        if said is None or seen is None or relay.is_finished or relay.has_ending:
            return said or seen
        made = max(said.output_tokens, seen.output_tokens)
        return msgspec.structs.replace(said, output_tokens=made, total_tokens=said.input_tokens + made)

    def _clean(self, error: GatewayError) -> GatewayError:
        """The provider's complaint, without what is not the caller's business."""
        target = self._target
        error.message = scrub(error.message, secrets=target.secrets, address=target.address)
        error.operator_detail = hide_secrets(error.operator_detail or "", secrets=target.secrets) or None
        return error

    def _fail(self, body: bytes) -> None:
        """Stop at an error event, which the relay has withheld: it may name what is not the caller's business."""
        target = self._target
        error = classify_inside(body, secrets=target.secrets, address=target.address)
        raise error or UpstreamBroken("The provider's stream ended in an error")

    def _end_unmarked(self) -> None:
        if not self._relay.has_ending:
            raise UpstreamBroken("The provider's stream was cut off", operator_detail="no end marker")
        self._call.downstream.write(ENDS.get(self._call.operation.name, b""))

    def _estimate(self) -> Usage | None:
        """What a cut or silent stream has cost, as nearly as bytes can tell."""
        return conversed(self._call, self._relay.output_bytes) if self._call.operation in op.CONVERSATIONS else None


def _decoded(data: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UpstreamBroken(operator_detail="an event that is not JSON in UTF-8") from error


def error_event(call: Call, error: GatewayError) -> bytes:
    """What tells the client of a failure in the dialect that it has called."""
    if call.is_array:
        return gemini.error_event(error, is_array=True)
    return INBOUND.get(call.operation.name, openai).error_event(error)


def _error_of_run(data: bytes) -> bytes:
    """The error of a ``response.failed`` event, as an error event has it."""
    run = _decoded(data).get("response")
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
