"""Where the gateway is, for whoever has found it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

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
