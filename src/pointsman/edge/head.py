"""What makes the head of a request acceptable, beyond what the parser checks. Pure: bytes in, a verdict out."""

from __future__ import annotations

import re
from urllib.parse import unquote

import httptools

from pointsman.errors import HeadTooLarge, InvalidRequest

HOST = re.compile(rb"(?:[A-Za-z0-9_.~%!$&'()*+,;=-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
SINGLE_HEADERS = frozenset({b"host", b"content-length", b"transfer-encoding", b"authorization", b"content-type"})
"""Headers of which a second one makes the request ambiguous."""
MAX_HEADERS = 128


def join_repeated(headers: dict[bytes, bytes], name: bytes, value: bytes, repeats: int) -> None:
    """Take one more line of a header that is there already; ``repeats`` counts such lines, this one included.

    :raises InvalidRequest: it must stand once
    :raises HeadTooLarge: there are too many lines
    """
    if len(headers) + repeats > MAX_HEADERS:
        raise HeadTooLarge
    if name in SINGLE_HEADERS:
        raise InvalidRequest(f"The request has more than one {name.decode('latin-1')} header")
    headers[name] = headers[name] + b", " + value


def check_host(host: bytes | None, version: str) -> None:
    """RFC 9112, section 3.2.

    :raises InvalidRequest: it is missing, or not a host name
    """
    if host is None:
        if version != "1.0":
            raise InvalidRequest("The request has no Host header")
    elif HOST.fullmatch(host) is None:
        raise InvalidRequest("The Host header is not a host name")


def check_coding(coding: bytes, version: str) -> None:
    """RFC 9112, section 6.1: nothing but ``chunked`` is understood here, and HTTP/1.0 knows no coding.

    :raises InvalidRequest: it is another one
    """
    if version == "1.0" or coding.lower() != b"chunked":
        raise InvalidRequest("The request has a Transfer-Encoding other than chunked")


def check_size(url: bytes, headers: dict[bytes, bytes], limit: int) -> None:
    """Add up what the head holds.

    :raises HeadTooLarge: it is more than ``limit`` bytes
    """
    if len(url) + sum(map(len, headers)) + sum(map(len, headers.values())) > limit:
        raise HeadTooLarge


def split_target(url: bytes) -> tuple[str, str]:
    """Split a request target (RFC 9112, section 3.2) into a decoded path and a raw query.

    :raises InvalidRequest: it is none
    """
    if not url.startswith(b"/"):
        try:
            parsed = httptools.parse_url(url)
        except httptools.HttpParserInvalidURLError:
            raise InvalidRequest("The request target is not valid") from None
        url = (parsed.path or b"/") + (b"?" + parsed.query if parsed.query else b"")
    path, _, query = url.partition(b"?")
    text = path.decode("latin-1")
    return (unquote(text) if "%" in text else text), query.decode("latin-1")
