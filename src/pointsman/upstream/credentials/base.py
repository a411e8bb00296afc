"""What an authorizer is, and how it fails."""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

import msgspec

from pointsman.errors import UpstreamRejected, UpstreamUnreachable

T = TypeVar("T")
_OPERATORS = "Your own key is not the cause; the operator has to look at the credential."


class Authorizer(Protocol):
    """Gives what a request needs to be let in."""

    async def authorize(self, method: bytes, target: bytes, host: bytes, body: bytes) -> bytes:
        """Header lines, each ended by CRLF, for a request with this method, path and query, ``Host`` and body.

        :raises UpstreamError: there is no credential now; nothing of the request was sent
        """

    def doubt(self) -> None:
        """Take note that an upstream has refused a request with such lines."""


class Lease(msgspec.Struct, Generic[T], frozen=True):
    """Something that holds for a time."""

    value: T
    expires_at: float
    """Unix time."""


def refused(detail: str) -> UpstreamRejected:
    """The failure when a cloud does not know the gateway; ``detail`` is for the operator and holds no secret."""
    return UpstreamRejected(
        f"The gateway has no credential that this model's provider accepts. {_OPERATORS}",
        status=401,
        kind="authentication_error",
        code="upstream_credential_refused",
        operator_detail=detail,
    )


def unavailable(detail: str | None) -> UpstreamUnreachable:
    """The failure when who gives credentials does not answer as it should."""
    text = "The gateway could not get a credential for this model's provider; try again"
    return UpstreamUnreachable(text, operator_detail=detail)
