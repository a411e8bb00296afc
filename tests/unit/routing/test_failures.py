from __future__ import annotations

import pytest

from pointsman.errors import (
    CONNECT_TIMEOUT,
    GatewayError,
    InvalidRequest,
    Overloaded,
    UpstreamBroken,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from pointsman.routing.failures import is_upstreams, kind_of, may_have_acted
from pointsman.routing.settings import FailureKind as Kind


def rejected(status: int, code: str | None = None) -> UpstreamRejected:
    return UpstreamRejected(status=status, kind="x", code=code)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (UpstreamTimeout(), Kind.TIMEOUT),
        (UpstreamUnreachable(), Kind.BAD_GATEWAY),
        (UpstreamBroken(), Kind.BAD_GATEWAY),
        (rejected(400), Kind.BAD_REQUEST),
        (rejected(401), Kind.AUTHENTICATION),
        (rejected(402), Kind.AUTHENTICATION),
        (rejected(403), Kind.AUTHENTICATION),
        (rejected(404), Kind.NOT_FOUND),
        (rejected(408), Kind.TIMEOUT),
        (rejected(409), Kind.INTERNAL),
        (rejected(413), Kind.BAD_REQUEST),
        (rejected(422), Kind.BAD_REQUEST),
        (rejected(429), Kind.RATE_LIMIT),
        (rejected(500), Kind.INTERNAL),
        (rejected(502), Kind.BAD_GATEWAY),
        (rejected(503), Kind.UNAVAILABLE),
        (rejected(504), Kind.TIMEOUT),
        (rejected(520), Kind.INTERNAL),
        (Overloaded(), Kind.UNAVAILABLE),
    ],
    ids=lambda value: f"{type(value).__name__}-{value.status}" if isinstance(value, GatewayError) else str(value),
)
def test_an_error_has_a_kind(error: GatewayError, kind: Kind) -> None:
    assert kind_of(error) is kind


@pytest.mark.parametrize("status", [400, 403, 413, 500])
def test_a_code_says_more_than_a_status(status: int) -> None:
    assert kind_of(rejected(status, "context_length_exceeded")) is Kind.CONTEXT_WINDOW
    assert kind_of(rejected(status, "content_policy_violation")) is Kind.CONTENT_POLICY
    assert kind_of(rejected(status, "content_filter")) is Kind.CONTENT_POLICY


def test_a_failure_is_the_upstreams_or_not() -> None:
    assert is_upstreams(UpstreamTimeout())
    assert is_upstreams(rejected(400))
    assert not is_upstreams(InvalidRequest())
    assert not is_upstreams(Overloaded())


def test_only_where_no_answer_came_it_is_not_known_what_was_done() -> None:
    assert may_have_acted(UpstreamTimeout())
    assert may_have_acted(UpstreamBroken())
    assert may_have_acted(rejected(504))
    assert not may_have_acted(UpstreamUnreachable())
    assert not may_have_acted(UpstreamTimeout(code=CONNECT_TIMEOUT))
    assert not may_have_acted(rejected(503))
    assert not may_have_acted(rejected(500))
