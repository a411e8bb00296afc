"""Where servers and agents may be, and what they may be shown: the same for those of the config and of registries."""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import urlsplit

from pointsman.access.caller import KEY_HEADERS

MAX_URL: Final = 2048
FRAMING: Final = frozenset(
    {
        *("host", "content-length", "transfer-encoding", "connection", "expect", "te", "trailer", "upgrade"),
        *("keep-alive", "proxy-connection", "accept", "content-type"),
    }
)
"""Headers that belong to the connection, or to the protocol."""
PROTOCOLS: Final = ("mcp-", "a2a-", "x-a2a-")
"""How headers begin that a protocol has for itself."""
OURS: Final = frozenset({*(one.decode() for one in KEY_HEADERS), "cookie", "proxy-authorization"})
"""Headers with credentials for this gateway, which are for nobody else."""
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]{0,16384}")


def wrong_network(text: str) -> str | None:
    """What is wrong with a network or a host; ``None``: nothing."""
    if "/" in text:
        try:
            ipaddress.ip_network(text.strip(), strict=False)
        except ValueError:
            return f"{text[:100]!r} is no network such as 10.0.0.0/8"
    return None


def wrong_url(url: str) -> str | None:
    """What is wrong with an address, without looking where it leads; ``None``: nothing."""
    try:
        parts = urlsplit(url)
        is_address = parts.scheme.lower() in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_address = False
    if not is_address or len(url) > MAX_URL or not url.isascii() or not url.isprintable() or " " in url:
        return "must be an address such as https://host/path"
    if "@" in parts.netloc:
        return "must not hold a user or password; put the credential into auth_value"
    return "must not have a fragment, which is never sent" if parts.fragment else None


def wrong_header(name: str, value: str = "") -> str | None:
    """What is wrong with a header that a server or an agent is to be shown; ``None``: nothing."""
    if not _HEADER_NAME.fullmatch(name) or name.lower() in FRAMING or name.lower().startswith(PROTOCOLS):
        return f"{name[:100]!r} is no header that can be set"
    return None if _HEADER_VALUE.fullmatch(value) else f"the value of {name} cannot stand in a header"


def origin_of(url: str) -> tuple[str, str, int | None]:
    """Whom an address is of: a credential for one is not for another."""
    parts = urlsplit(url)
    return parts.scheme.lower(), parts.hostname or "", parts.port
