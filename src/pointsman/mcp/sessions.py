"""What clients carry for the gateway: session ids of legacy clients, and states of requests that wait for answers.

Both say what they mean and are signed, so that any process that has the secret can go on with them: a session outlives
a restart and costs nothing while it rests. Nothing in them is secret to the client that carries them; whoever else
shows one is refused, for it is bound to the caller.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import msgspec

from pointsman.access.caller import Caller
from pointsman.mcp.base import Client

T = TypeVar("T")

SESSION_SECONDS: Final = 30 * 86_400.0
"""Clients that hear that their session has ended begin another one; not all of them hear it well."""
SIGNATURE_BYTES: Final = 16
MAX_TOLD_BYTES: Final = 2048
"""Of what a client says of itself and is kept in the session id, which is a header in every request."""


class Unknown(ValueError):
    """It was not made here, was made for somebody else, or is too old."""


class Passport(msgspec.Struct, frozen=True, array_like=True):
    """What a session id says."""

    session: str
    caller: str
    issued: int
    revision: str
    info: Mapping[str, Any]
    capabilities: Mapping[str, Any]


class State(msgspec.Struct, frozen=True, array_like=True):
    """What a ``requestState`` says."""

    caller: str
    digest: str
    """Of the request that it belongs to."""
    expires: int
    call: str = ""
    """The call that waits; empty: it is the server that goes on."""
    replica: str = ""
    """Where it waits."""
    turn: int = 0
    """How often it has asked."""


class Tokens:
    """Signs, and knows what it has signed."""

    def __init__(self, secret: bytes, now: Callable[[], float]) -> None:
        """``now`` gives seconds since the epoch."""
        self._key = hashlib.sha256(b"pointsman mcp tokens\0" + secret).digest()
        self._now = now

    def session(self, client: Client) -> str:
        """The id of a session that ``client`` has begun: visible ASCII."""
        capabilities = client.capabilities
        if len(msgspec.json.encode(capabilities)) > MAX_TOLD_BYTES:
            # Its extensions are what may be long.
            capabilities = {name: {} for name in ("sampling", "elicitation", "roots") if name in capabilities}
        passport = Passport(
            session=client.session,
            caller=_name(client.caller),
            issued=int(self._now()),
            revision=client.revision,
            info=_short(client.info),
            capabilities=capabilities,
        )
        return self._sign(b"s", passport)

    def open_session(self, token: str, caller: Caller) -> Passport:
        """:raises Unknown: see there"""
        passport = self._open(b"s", token, Passport)
        if passport.caller != _name(caller) or self._now() - passport.issued > SESSION_SECONDS:
            raise Unknown
        return passport

    def state(
        self,
        caller: Caller,
        digest: str,
        seconds: float,
        *,
        inner: str = "",
        call: str = "",
        replica: str = "",
        turn: int = 0,
    ) -> str:
        """A ``requestState`` that is good for that long; ``inner`` is that of the server."""
        state = State(_name(caller), digest, int(self._now() + seconds), call, replica, turn)
        return self._sign(b"r", state, inner)

    def open_state(self, token: str, caller: Caller, digest: str) -> tuple[State, str]:
        """What it says, and the server's own state.

        :raises Unknown: see there; or it belongs to another request
        """
        signed, _, inner = token.partition("~")
        state = self._open(b"r", signed, State, inner)
        if state.caller != _name(caller) or state.digest != digest or state.expires < self._now():
            raise Unknown
        return state, inner

    def _sign(self, kind: bytes, content: msgspec.Struct, inner: str = "") -> str:
        text = _plain(msgspec.json.encode(content))
        signed = f"{text}.{_plain(self._signature(kind, text, inner))}"
        return f"{signed}~{inner}" if inner else signed

    def _open(self, kind: bytes, token: str, shape: type[T], inner: str = "") -> T:
        text, _, signature = token.partition(".")
        if not hmac.compare_digest(_plain(self._signature(kind, text, inner)).encode(), signature.encode()):
            raise Unknown
        # What bears the signature was written here.
        return msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=shape)

    def _signature(self, kind: bytes, text: str, inner: str) -> bytes:
        content = b"%b%d:%b%b" % (kind, len(text), text.encode(), inner.encode("utf-8", "surrogatepass"))
        return hmac.digest(self._key, content, "sha256")[:SIGNATURE_BYTES]


def _name(caller: Caller) -> str:
    """One for each caller, from which he is not known."""
    return hashlib.sha256(caller.name.encode()).hexdigest()[:24]


def _short(info: Mapping[str, Any]) -> Mapping[str, Any]:
    if len(msgspec.json.encode(info)) <= MAX_TOLD_BYTES:
        return info
    return {name: str(info[name])[:200] for name in ("name", "version") if name in info}


def _plain(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
