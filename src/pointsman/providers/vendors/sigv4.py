"""Amazon's Signature Version 4, for every service but S3.

Source: docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, Protocol
from urllib.parse import quote, unquote_to_bytes

ALGORITHM: Final = "AWS4-HMAC-SHA256"
_UNRESERVED: Final = "-_.~"


class Keys(Protocol):
    """Whose signature it is."""

    @property
    def access_key_id(self) -> str: ...
    @property
    def secret_access_key(self) -> str: ...
    @property
    def session_token(self) -> str | None: ...


def sign(
    method: bytes,
    target: bytes,
    headers: Sequence[tuple[bytes, bytes]],
    body: bytes,
    keys: Keys,
    *,
    region: str,
    service: str,
    when: float,
) -> bytes:
    """Header lines, each ended by CRLF, that sign a request: ``x-amz-date``, ``authorization`` and the session token.

    ``target`` is path and query as they are sent, ``when`` Unix time. All of ``headers`` are signed, among which
    ``host`` must be; they are not repeated.
    """
    stamp = datetime.fromtimestamp(when, UTC).strftime("%Y%m%dT%H%M%SZ")
    added = [(b"x-amz-date", stamp.encode())]
    if keys.session_token is not None:
        added.append((b"x-amz-security-token", keys.session_token.encode()))
    canonical, names = canonical_request(method, target, [*headers, *added], body)
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    to_sign = "\n".join((ALGORITHM, stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    key = f"AWS4{keys.secret_access_key}".encode()
    for step in scope.split("/"):
        key = _hmac(key, step)
    signature = _hmac(key, to_sign).hex()
    value = f"{ALGORITHM} Credential={keys.access_key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
    lines = [*added, (b"authorization", value.encode())]
    return b"".join(name + b": " + value + b"\r\n" for name, value in lines)


def canonical_request(
    method: bytes, target: bytes, headers: Sequence[tuple[bytes, bytes]], body: bytes
) -> tuple[str, str]:
    """What is signed of a request, and the names of its signed headers."""
    path, _, query = target.partition(b"?")
    values: defaultdict[str, list[str]] = defaultdict(list)
    for name, value in headers:
        values[name.decode("latin-1").lower()].append(" ".join(value.decode().split()))
    names = ";".join(sorted(values))
    lines = [f"{name}:{','.join(values[name])}\n" for name in sorted(values)]
    digest = hashlib.sha256(body).hexdigest()
    parts = (method.decode(), _canonical_path(path), _canonical_query(query), "".join(lines), names, digest)
    return "\n".join(parts), names


def _canonical_path(path: bytes) -> str:
    """The path without empty and dot segments, percent-encoded once more than it is sent."""
    kept: list[bytes] = []
    for segment in path.split(b"/"):
        if segment == b"..":
            del kept[-1:]
        elif segment not in (b"", b"."):
            kept.append(segment)
    end = "/" if kept and path.endswith((b"/", b"/.", b"/..")) else ""
    return "/" + quote(b"/".join(kept), safe="/" + _UNRESERVED) + end


def _canonical_query(query: bytes) -> str:
    pairs = [field.partition(b"=") for field in query.split(b"&") if field]
    encoded = sorted((_encoded(name), _encoded(value)) for name, _, value in pairs)
    return "&".join(f"{name}={value}" for name, value in encoded)


def _encoded(text: bytes) -> str:
    return quote(unquote_to_bytes(text), safe=_UNRESERVED)


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
