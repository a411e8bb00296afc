"""Reply headers that tell about a call."""

from __future__ import annotations

from pointsman.pipeline.call import Call
from pointsman.pipeline.targets import Target
from pointsman.upstream.response import Response

PASSED = (b"x-ratelimit-", b"openai-processing-ms", b"openai-version", b"x-request-id", b"request-id")
"""Beginnings of the upstream's headers that are passed on."""


def passed_headers(response: Response) -> tuple[tuple[str, str], ...]:
    """The upstream's headers that callers see, also with an error: its rate limits above all."""
    return tuple(
        (f"llm_provider-{name.decode('latin-1')}", value.decode("latin-1"))
        for name, value in response.headers
        if name.startswith(PASSED)
    )


def header_lines(call: Call, target: Target, response: Response, now: float) -> bytes:
    """Complete header lines; what is unknown is left out. Notes on the way what the gateway itself has taken."""
    upstream = (now if call.answered is None else call.answered) - call.sent
    call.overhead = max(0.0, now - call.received - upstream)
    lines = [
        call.identity,
        target.named_lines(call.public_model, call.is_master, call.captured is None),
        b"x-litellm-overhead-duration-ms: %d.%03d\r\n" % divmod(int(call.overhead * 1e6), 1000),
    ]
    if call.cost is not None:
        lines.append(b"x-litellm-response-cost: %b\r\n" % format(call.cost.normalize(), "f").encode())
    for name, value in response.headers:
        if name.startswith(PASSED):
            lines += (b"llm_provider-", name, b": ", value, b"\r\n")
    return b"".join(lines)
