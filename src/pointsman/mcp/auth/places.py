"""What clients are told of who gives them tokens for the gateway."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

METADATA: Final = "/.well-known/oauth-protected-resource"


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
