"""Upstream error texts, made fit for a caller: no credential, no address of the upstream.

A vendor's message is the caller's best hint about what to change, so it is kept; but vendors quote keys
("Incorrect API key provided: sk-ab***yz") and proxies in between quote hosts. What goes:

1. the credentials that were sent, whatever they look like, and anything in the shape of a known kind of key;
2. URLs and host names that belong to the upstream or to a private network, and every IP address.

A public URL of another host stays: most often it is the caller's own ("could not download https://...").
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

MAX_TEXT = 2_000
"""Characters of an upstream's message that are passed on."""

_READ_AHEAD = 4 * MAX_TEXT
_SHORTEST_SECRET = 4
_KEY = "[key]"
_ADDRESS = "[address]"

_KEYS = re.compile(
    r"""
      \b(?i:bearer|basic)\s+[\w.~+/=*-]{6,}                     # Authorization values
    | \b(?:sk|pk|rk|gsk|xai|pplx|nvapi|csk|tgp|jina|hf|fw|r8|key)[-_][\w*.-]{6,}
    | \bAIza[\w*-]{8,}                                          # Google
    | \beyJ[\w-]{8,}\.[\w-]{4,}(?:\.[\w-]*)?                    # JWT
    | (?i:\bapi[-_ ]?key\b["']?\s*[:=]\s*["']?)[\w*.~+/=-]{6,}  # api_key=...
    """,
    re.VERBOSE,
)
_URLS = re.compile(r"\b[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s\"'<>`\\]+")
_IPS = re.compile(
    r"""
      (?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?(?![\w.]*\d)
    | \[[0-9A-Fa-f:.%]*:[0-9A-Fa-f:.%]*\](?::\d{1,5})?
    | (?<![\w:])(?:[0-9A-Fa-f]{1,4}:){3,7}[0-9A-Fa-f]{1,4}(?![\w:])
    """,
    re.VERBOSE,
)
# Labels are possessive and start where no label can go on: the time is linear in hostile texts too.
_HOSTS = re.compile(
    r"""
      (?<![\w.-])(?:[A-Za-z0-9-]{1,63}+\.){1,8}[A-Za-z0-9-]{1,63}+:\d{2,5}\b   # name.with.dots:port
    | \blocalhost(?::\d{1,5})?\b
    | (?<![\w.-])(?:[A-Za-z0-9-]{1,63}+\.){1,9}(?:internal|local|lan|svc|corp|home)\b
    """,
    re.VERBOSE,
)
_PRIVATE_SUFFIXES = (".internal", ".local", ".lan", ".svc", ".corp", ".home", ".localhost")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]+")


def scrub(text: str, *, secrets: Iterable[str], address: str) -> str:
    """``text`` without credentials and without upstream addresses, at most ``MAX_TEXT`` characters.

    ``secrets`` are the credential values sent with the request; ``address`` is the upstream's URL or host.
    """
    text = hide_secrets(text, secrets=secrets)
    host = _host_of(address)
    text = _URLS.sub(lambda match: _ADDRESS if _belongs(match.group(), host) else match.group(), text)
    if host:
        text = re.sub(rf"(?i)(?<![\w.-]){re.escape(host)}(?::\d{{1,5}})?(?![\w-])", _ADDRESS, text)
    text = _HOSTS.sub(_ADDRESS, _IPS.sub(_ADDRESS, text))
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


def hide_secrets(text: str, *, secrets: Iterable[str]) -> str:
    """``text`` without credentials and control characters; addresses stay, for the operator's log."""
    # The literal values go first and from the whole text, so that a cut cannot leave half of one.
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, _KEY)
    return _KEYS.sub(_KEY, _CONTROLS.sub(" ", text[:_READ_AHEAD])).strip()


def _host_of(address: str) -> str:
    return _hostname(address if "://" in address else f"//{address}")


def _hostname(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:  # brackets that hold no IPv6 address
        return ""


def _belongs(url: str, host: str) -> bool:
    """Whether a URL tells where the upstream is: same site, private network, or with a port or user in it."""
    authority = url.partition("://")[2].partition("/")[0]
    name = _hostname(url)
    if not name or "." not in name or "@" in authority or ":" in authority:
        return True
    if name.endswith(_PRIVATE_SUFFIXES) or name.replace(".", "").isdigit():
        return True
    return _site(name) == _site(host)


def _site(host: str) -> str:
    return ".".join(host.rsplit(".", 2)[-2:]).lower()
