"""What a server may be called, and where it may be: the same for those of the config and those of the registry."""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from pointsman.access.caller import KEY_HEADERS

RESERVED: Final = frozenset(
    {
        *("servers", "tools", "resources", "prompts", "health", "call"),
        *("sse", "messages", "sessions", "oauth", "registry"),
    }
)
"""What stands in the place of an id in paths below ``/mcp/``."""
MAX_URL: Final = 2048
FRAMING: Final = frozenset(
    {
        *("host", "content-length", "transfer-encoding", "connection", "expect", "te", "trailer", "upgrade"),
        *("keep-alive", "proxy-connection", "accept", "content-type"),
    }
)
"""Headers that belong to the connection, or to the protocol."""
OURS: Final = frozenset({*(one.decode() for one in KEY_HEADERS), "cookie", "proxy-authorization"})
"""Headers with credentials for this gateway, which are for nobody else."""
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]{0,16384}")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_TOOL = re.compile(r"[A-Za-z0-9_./-]{1,128}")


def wrong_id(server_id: str) -> str | None:
    """What is wrong with the id of a server; ``None``: nothing."""
    if not _ID.fullmatch(server_id):
        return "the id of a server has 1 to 64 of the characters A-Z a-z 0-9 _ -, and begins with a letter or a digit"
    if server_id.lower() in RESERVED:
        return f"the id {server_id} is reserved: paths below /mcp/ need {', '.join(sorted(RESERVED))}"
    return None


def wrong_alias(alias: str) -> str | None:
    """What is wrong with the begin of the names of a server's tools; ``None``: nothing."""
    return None if _ID.fullmatch(alias) else "has 1 to 64 of the characters A-Z a-z 0-9 _ -"


def wrong_names(renamed: Mapping[str, str]) -> str | None:
    """What is wrong with names that tools are given; ``None``: nothing."""
    odd = next((name for name in renamed.values() if not _TOOL.fullmatch(name)), None)
    if odd is not None:
        return f"the name {odd[:100]!r} has other characters than A-Z a-z 0-9 _ . / -, or more than 128"
    twice = next((name for name, count in Counter(renamed.values()).items() if count > 1), None)
    return None if twice is None else f"two tools are called {twice}"


def wrong_network(text: str) -> str | None:
    """What is wrong with a network or a host; ``None``: nothing."""
    if "/" in text:
        try:
            ipaddress.ip_network(text.strip(), strict=False)
        except ValueError:
            return f"{text[:100]!r} is no network such as 10.0.0.0/8"
    return None


def wrong_url(url: str) -> str | None:
    """What is wrong with the address of a server, without looking where it leads; ``None``: nothing."""
    try:
        parts = urlsplit(url)
        is_address = parts.scheme.lower() in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_address = False
    if not is_address or len(url) > MAX_URL or not url.isascii() or not url.isprintable() or " " in url:
        return "must be an address such as https://host/mcp"
    if "@" in parts.netloc:
        return "must not hold a user or password; put the credential into auth_value"
    return "must not have a fragment, which is never sent" if parts.fragment else None


def wrong_header(name: str, value: str = "") -> str | None:
    """What is wrong with a header that a server is to be shown; ``None``: nothing."""
    if not _HEADER_NAME.fullmatch(name) or name.lower() in FRAMING or name.lower().startswith("mcp-"):
        return f"{name[:100]!r} is no header that can be set"
    return None if _HEADER_VALUE.fullmatch(value) else f"the value of {name} cannot stand in a header"


def origin_of(url: str) -> tuple[str, str, int | None]:
    """Whom an address is of: a credential for one is not for another."""
    parts = urlsplit(url)
    return parts.scheme.lower(), parts.hostname or "", parts.port
