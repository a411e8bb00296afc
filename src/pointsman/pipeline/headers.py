"""Reply headers that tell about a call."""

from __future__ import annotations

import re

from pointsman.pipeline.attempt import Attempt
from pointsman.routing.plan import Plan
from pointsman.upstream.response import Response

PASSED = (b"x-ratelimit-", b"openai-processing-ms", b"openai-version", b"x-request-id", b"request-id")
"""Beginnings of the upstream's headers that are passed on."""
NOT_NAME = re.compile(rb"[^ -~]")
MAX_DROPPED_BYTES = 512
MAX_KNOWN_NAMES = 1024


def attempt_lines(retries: int, max_retries: int, fallbacks: int) -> bytes:
    """How many attempts it took."""
    return b"x-litellm-attempted-retries: %d\r\nx-litellm-max-retries: %d\r\nx-litellm-attempted-fallbacks: %d\r\n" % (
        retries,
        max_retries,
        fallbacks,
    )


AT_ONCE = [attempt_lines(0, allowed, 0) for allowed in range(11)]
"""The lines of a call that needed no second attempt, by the number of retries that it was allowed."""


class PassedNames(dict[bytes, bytes]):
    """What the upstream's header names become in a reply, colon included; nothing for those that are not passed on.

    Upstreams have few names, so looking one up is quicker than looking at it. Those of one that makes them up are not
    kept.
    """

    def __missing__(self, name: bytes) -> bytes:
        prefix = b"llm_provider-%b: " % name if name.startswith(PASSED) else b""
        if len(self) < MAX_KNOWN_NAMES:
            self[name] = prefix
        return prefix


PASSED_NAMES = PassedNames()


def passed_headers(response: Response) -> tuple[tuple[str, str], ...]:
    """The upstream's headers that callers see, also with an error: its rate limits above all."""
    return tuple(
        (f"llm_provider-{name.decode('latin-1')}", value.decode("latin-1"))
        for name, value in response.headers
        if name.startswith(PASSED)
    )


def header_lines(attempt: Attempt, response: Response, now: float) -> bytes:
    """Complete header lines; what is unknown is left out. Notes on the way what the gateway itself has taken."""
    call, plan = attempt.call, attempt.plan
    allowed = plan.max_retries
    is_usual = not plan.retries and not plan.fallbacks and allowed < len(AT_ONCE)
    upstream = (now if attempt.answered is None else attempt.answered) - attempt.sent
    attempt.overhead = max(0.0, now - call.received - upstream)
    lines = [
        call.identity,
        attempt.target.named_lines(attempt.public_model, call.is_master, attempt.captured is None),
        AT_ONCE[allowed] if is_usual else attempt_lines(plan.retries, allowed, plan.fallbacks),
        b"x-litellm-overhead-duration-ms: %.3f\r\n" % (attempt.overhead * 1e3),
    ]
    if call.routed is not None:
        lines.append(call.routed.lines(attempt))
    if attempt.dropped:
        lines.append(dropped_line(attempt))
    cost = attempt.cost
    if call.asks_cost is not None:
        lines.append(b"x-pointsman-asks-cost: %b\r\n" % format(call.asks_cost.normalize(), "f").encode())
        cost = None if cost is None else cost + call.asks_cost
    if cost is not None:
        lines.append(b"x-litellm-response-cost: %b\r\n" % format(cost.normalize(), "f").encode())
    if attempt.race is not None:
        lines += _hedge_lines(attempt)
    for name, value in response.headers:
        prefix = PASSED_NAMES[name]
        if prefix:
            lines.append(b"%b%b\r\n" % (prefix, value))
    return b"".join(lines)


def dropped_line(attempt: Attempt) -> bytes:
    """Which of the caller's parameters were left out, if any were."""
    return b"x-pointsman-dropped: %b\r\n" % _named(attempt.dropped) if attempt.dropped else b""


def attempt_headers(plan: Plan) -> tuple[tuple[str, str], ...]:
    """The same for an error."""
    return (
        ("x-litellm-attempted-retries", str(plan.retries)),
        ("x-litellm-max-retries", str(plan.max_retries)),
        ("x-litellm-attempted-fallbacks", str(plan.fallbacks)),
    )


def _named(params: tuple[str, ...]) -> bytes:
    """Names of parameters, which the caller has chosen, as a header value of bounded length."""
    return NOT_NAME.sub(b"?", ",".join(params).encode()[:MAX_DROPPED_BYTES])


def _hedge_lines(attempt: Attempt) -> list[bytes]:
    """What was given up for being slower, and what that has probably cost."""
    assert attempt.race is not None
    lines = []
    for loser in attempt.race.losers:
        if loser.error is not None:
            continue
        lines.append(b"x-pointsman-hedged-model-id: %b\r\n" % loser.target.deployment.id.encode("latin-1", "replace"))
        if loser.expected_cost is not None:
            lines.append(b"x-pointsman-hedged-cost: %b\r\n" % format(loser.expected_cost.normalize(), "f").encode())
    return lines
