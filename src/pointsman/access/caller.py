"""From request headers to the authenticated party."""

from __future__ import annotations

import hmac
from collections.abc import Mapping

import msgspec

from pointsman.access.settings import AccessSettings
from pointsman.errors import Unauthenticated

BEARER = b"bearer "
KEY_HEADERS = (
    b"authorization",
    b"x-api-key",
    b"api-key",
    b"x-litellm-api-key",
    b"x-goog-api-key",
    b"ocp-apim-subscription-key",
)
"""Where clients put the key: OpenAI SDKs, Anthropic SDK, Azure clients, LiteLLM clients, Google's, Azure gateways."""


class Caller(msgspec.Struct, frozen=True):
    """The authenticated party of a request."""

    name: str
    is_master: bool = False


MASTER = Caller(name="master", is_master=True)
NOBODY = Caller(name="")
"""Whoever calls a route that is open to all."""
CHALLENGE = (("www-authenticate", "Bearer"),)


class Gatekeeper:
    """Tells callers from strangers. Compares in constant time and never keeps what it was shown."""

    def __init__(self, settings: AccessSettings) -> None:
        key = settings.master_key
        self._master = None if key is None else key.reveal().encode()
        self.is_open = key is None
        """Whether no key is asked for."""
        self.is_open_on_purpose = settings.is_open_on_purpose
        extra = () if settings.key_header is None else (settings.key_header.lower().encode(),)
        self._headers = extra + tuple(h for h in KEY_HEADERS if h not in extra)

    def identify(self, headers: Mapping[bytes, bytes]) -> Caller:
        """Find the caller by the key in lower-cased ``headers``.

        :raises Unauthenticated: there is no key, or it is not one of ours
        """
        master = self._master
        if master is None:
            return MASTER
        for name in self._headers:
            value = headers.get(name)
            if value is not None:
                if value[:7].lower() == BEARER:
                    value = value[7:].strip()
                if hmac.compare_digest(value, master):
                    return MASTER
        raise Unauthenticated(headers=CHALLENGE)
