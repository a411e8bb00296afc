"""What the head of a request says: the version of the protocol, extensions, and what its body is.

Source: the specification of A2A 1.0.1, sections 3.2.6 (service parameters), 3.6 (versions) and 14.2 (headers).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from pointsman.a2a.protocol.faults import CONTENT_TYPE_NOT_SUPPORTED, VERSION_NOT_SUPPORTED, refusal
from pointsman.a2a.protocol.operations import VERSIONS, Version

VERSION: Final = "a2a-version"
EXTENSIONS: Final[Mapping[Version, bytes]] = {"1.0": b"a2a-extensions", "0.3": b"x-a2a-extensions"}
"""Names of a header, by version."""
UNSUPPORTED: Final = 415
"""The status where there is one."""
MAX_EXTENSIONS: Final = 100
MAX_TOLD: Final = 50
"""Characters of a version that is not known."""
_NUMBER: Final = re.compile(r"(\d+\.\d+)(?:\.\d+)*")
_JSON: Final = re.compile(rb"application/(?:[\w.-]+\+)?json")


def given_version(headers: Mapping[bytes, bytes], query: Mapping[str, str]) -> str:
    """What the client says, in a header or in the query; empty: nothing."""
    found = headers.get(VERSION.encode(), b"").decode("latin-1").strip()
    return found or next((value.strip() for name, value in query.items() if name.lower() == VERSION), "")


def version_of(given: str, usual: Version) -> Version:
    """The version by these words, of which the third number means nothing; ``usual`` where nothing is said.

    :raises RpcError: it is none that is spoken here
    """
    if not given:
        return usual
    number = _NUMBER.fullmatch(given)
    for version in VERSIONS:
        if number is not None and number[1] == version:
            return version
    known = ", ".join(VERSIONS)
    raise refusal(VERSION_NOT_SUPPORTED, f"Version {given[:MAX_TOLD]} is not supported: {known} are", supported=known)


def likely(given: str, usual: Version) -> Version:
    """In which version to tell a client that its request is none: in the nearest that there is."""
    number = _NUMBER.match(given)
    return usual if number is None else "0.3" if number[1].startswith("0.") else "1.0"


def extensions_of(headers: Mapping[bytes, bytes]) -> tuple[str, ...]:
    """The extensions that a client wants, by their URIs, each of them once."""
    found = b",".join(headers[name] for name in EXTENSIONS.values() if name in headers)
    if not found:
        return ()
    named = (one.strip() for one in found.decode("latin-1").split(","))
    return tuple(dict.fromkeys(one for one in named if one))[:MAX_EXTENSIONS]


def check_json(headers: Mapping[bytes, bytes]) -> None:
    """:raises RpcError: the body is not said to be JSON"""
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if not _JSON.fullmatch(kind):
        error = refusal(CONTENT_TYPE_NOT_SUPPORTED, "This path takes JSON: send Content-Type: application/json")
        # That of a part is another matter, which is told with the same words.
        error.status = UNSUPPORTED
        raise error
