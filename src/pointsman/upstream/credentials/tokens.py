"""OAuth tokens as clouds give them, and files that credentials lie in."""

from __future__ import annotations

import pathlib
from typing import Any

from pointsman.upstream.credentials.base import Lease, refused, unavailable
from pointsman.upstream.h1 import header_lines

MAX_FILE_BYTES = 65_536


def bearer_lines(token: str, *more: tuple[bytes, bytes]) -> bytes:
    """The header lines of a token.

    :raises UpstreamError: no header can hold it
    """
    try:
        return header_lines([(b"authorization", b"Bearer " + token.encode("ascii")), *more])
    except ValueError as error:
        raise refused("a token has characters that cannot be sent in a header") from error


def token_lease(answer: dict[str, Any], asked: str, now: float, *more: tuple[bytes, bytes]) -> Lease[bytes]:
    """The header lines of a token service's answer, and when the token expires.

    The time left is ``expires_in`` or ``expires_on``, each as a number or as text.

    :raises UpstreamError: it holds no token
    """
    token = answer.get("access_token")
    if not isinstance(token, str) or not token:
        raise unavailable(f"{asked} answered without a token")
    left, moment = _number(answer.get("expires_in")), _number(answer.get("expires_on"))
    if left is None:
        if moment is None:
            raise unavailable(f"{asked} did not say how long its token holds")
        left = moment - now
    return Lease(bearer_lines(token, *more), now + left)


def is_file(path: str) -> bool:
    """Whether there is a file; below a folder that is closed to us, such as another user's, there is none."""
    try:
        return pathlib.Path(path).is_file()
    except OSError:
        return False


def read_file(path: str) -> str:
    """The text of a small file.

    :raises UpstreamError: it cannot be read
    """
    try:
        with pathlib.Path(path).open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise refused(f"{path} is longer than a credential")
        return data.decode()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise refused(f"{path} cannot be read: {why}") from error


def _number(value: object) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    return float(value) if isinstance(value, str) and value.isdecimal() else None
