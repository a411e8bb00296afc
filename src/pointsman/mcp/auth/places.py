"""Where the gateway is, for browsers and for those who ask for its metadata."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

METADATA: Final = "/.well-known/oauth-protected-resource"
LOCAL: Final = "http://localhost"
_HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


def base_of(public_url: str, headers: Mapping[bytes, bytes]) -> str:
    """The address of the gateway, without a slash at its end: the configured one, or that which a client has used."""
    if public_url:
        return public_url.rstrip("/")
    host = headers.get(b"host", b"").decode("latin-1")
    if not _HOST.fullmatch(host):
        return LOCAL
    scheme = headers.get(b"x-forwarded-proto", b"http").decode("latin-1").partition(",")[0].strip().lower()
    return f"{'https' if scheme == 'https' else 'http'}://{host}"


def metadata_of(base: str, path: str, authorization_servers: Sequence[str]) -> dict[str, object]:
    """What is told to clients of who gives them tokens for ``path`` (RFC 9728)."""
    return {
        "resource": base + path,
        "authorization_servers": list(authorization_servers),
        "bearer_methods_supported": ["header"],
        "resource_name": "Pointsman",
    }


def challenge(base: str, path: str) -> str:
    """``WWW-Authenticate`` for a client that has to get a token first; ``path`` is that of its request."""
    return f'Bearer resource_metadata="{base}{METADATA}{path.rstrip("/")}"'
