"""What a failure means for routing: its kind, who has to rest, and whether another try can help."""

from __future__ import annotations

from pointsman.errors import (
    CONNECT_TIMEOUT,
    GatewayError,
    UpstreamBroken,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from pointsman.routing.settings import FailureKind

_BY_CODE = {
    "context_length_exceeded": FailureKind.CONTEXT_WINDOW,
    "content_policy_violation": FailureKind.CONTENT_POLICY,
    "content_filter": FailureKind.CONTENT_POLICY,
}
_BY_STATUS = {
    401: FailureKind.AUTHENTICATION,
    402: FailureKind.AUTHENTICATION,
    403: FailureKind.AUTHENTICATION,
    404: FailureKind.NOT_FOUND,
    408: FailureKind.TIMEOUT,
    409: FailureKind.INTERNAL,
    429: FailureKind.RATE_LIMIT,
    502: FailureKind.BAD_GATEWAY,
    503: FailureKind.UNAVAILABLE,
    504: FailureKind.TIMEOUT,
}

OF_CREDENTIAL = frozenset({FailureKind.AUTHENTICATION, FailureKind.RATE_LIMIT})
"""Kinds that speak of the key, and so of every deployment that has it."""
ELSEWHERE = frozenset({FailureKind.AUTHENTICATION, FailureKind.NOT_FOUND})
"""Kinds after which the same deployment need not be asked again."""
FINAL = frozenset({FailureKind.BAD_REQUEST, FailureKind.CONTEXT_WINDOW, FailureKind.CONTENT_POLICY})
"""Kinds that another deployment of the same model would answer with as well."""


def kind_of(error: GatewayError) -> FailureKind:
    """The kind of a failed attempt."""
    if isinstance(error, UpstreamTimeout):
        return FailureKind.TIMEOUT
    if isinstance(error, UpstreamUnreachable | UpstreamBroken):
        return FailureKind.BAD_GATEWAY
    found = _BY_CODE.get(error.code or "") or _BY_STATUS.get(error.status)
    if found is not None:
        return found
    return FailureKind.INTERNAL if error.status >= 500 else FailureKind.BAD_REQUEST


def is_upstreams(error: GatewayError) -> bool:
    """Whether the failure tells about the upstream, and another one may do better."""
    return isinstance(error, UpstreamError)


def may_have_acted(error: GatewayError) -> bool:
    """Whether the upstream may have done, and charged for, what was asked although it gave no answer."""
    if error.code == CONNECT_TIMEOUT:
        return False
    return isinstance(error, UpstreamTimeout | UpstreamBroken) or (is_upstreams(error) and error.status == 504)
