"""What a user's browser carries for the gateway while he signs in: it says what it means, and is signed.

So any process that has the secret can go on with it, and nothing is kept of those who never come back.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

T = TypeVar("T", bound=msgspec.Struct)
MAX_LENGTH: Final = 8192
LINK_SECONDS: Final = 3600.0
"""That a link is good for."""
JOURNEY_SECONDS: Final = 900.0
"""That a user has for the authorization server."""


class Stale(ValueError):
    """It was not made here, or is too old."""


class Ticket(msgspec.Struct, frozen=True, array_like=True):
    """In a link: who is to sign in to what."""

    server: str
    caller: str
    expires: int
    scope: str | None = None
    """That the server has asked for."""
    metadata: str | None = None
    """Where the server has said that its metadata is."""
    held: str = ""
    """Scopes that the user has given already."""


class Journey(msgspec.Struct, frozen=True, array_like=True):
    """In a cookie: from where the user is to come back."""

    state: str
    server: str
    url: str
    """The server's, as it was then."""
    caller: str
    user: str | None
    expires: int
    issuer: str
    token_endpoint: str
    names_issuer: bool
    """Whether the authorization server has promised to say who answers."""
    redirect_uri: str
    client_id: str
    method: str
    scope: str | None
    resource: str


class Tickets:
    """Signs, and knows what it has signed."""

    def __init__(self, secret: bytes, now: Callable[[], float]) -> None:
        """``now`` gives seconds since the epoch."""
        self._key = hashlib.sha256(b"pointsman mcp sign-in\0" + secret).digest()
        self.now = now

    def sign(self, content: msgspec.Struct) -> str:
        """A text of characters that links and cookies may have."""
        text = _plain(msgspec.json.encode(content))
        return f"{text}.{_plain(self._signature(type(content).__name__, text))}"

    def open(self, token: str, shape: type[T]) -> T:
        """:raises Stale: see there"""
        text, _, signature = token.partition(".")
        wanted = _plain(self._signature(shape.__name__, text))
        if len(token) > MAX_LENGTH or not hmac.compare_digest(wanted.encode(), signature.encode()):
            raise Stale("this link was not made here; ask for another one")
        found = msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=shape)
        if getattr(found, "expires", 0) < self.now():
            raise Stale("this link is too old; ask for another one")
        return found

    def verifier(self, state: str) -> str:
        """The secret of PKCE that goes with a state, which nobody else can know."""
        return _plain(hmac.digest(self._key, b"verifier\0" + state.encode(), "sha256"))

    def _signature(self, kind: str, text: str) -> bytes:
        return hmac.digest(self._key, f"{kind}:{text}".encode(), "sha256")


def _plain(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
