"""Writing a multipart form, RFC 7578."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

from pointsman.providers.translation import UploadedFile

_HASH_DIGITS: Final = 48
"""A boundary has 70 characters at most."""
_ESCAPES: Final = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})


def write_form(fields: Iterable[tuple[str, str]], file: UploadedFile) -> tuple[bytes, str]:
    """The body and its content type. ``file`` comes last, as the field ``file``.

    The boundary is a hash of all that is in the form: nothing in it can know it, and the same form is written alike.
    """
    pairs = list(fields)
    hashed = hashlib.sha256(repr((pairs, file.name, file.content_type)).encode())
    hashed.update(file.data)
    boundary = f"pointsman-{hashed.hexdigest()[:_HASH_DIGITS]}"
    opening = f"--{boundary}\r\nContent-Disposition: form-data; name="
    pieces = [f'{opening}"{name.translate(_ESCAPES)}"\r\n\r\n{value}\r\n' for name, value in pairs]
    kind = "".join(file.content_type.splitlines()) or "application/octet-stream"
    name = file.name.translate(_ESCAPES)
    pieces.append(f'{opening}"file"; filename="{name}"\r\nContent-Type: {kind}\r\n\r\n')
    body = b"".join(("".join(pieces).encode(), file.data, f"\r\n--{boundary}--\r\n".encode()))
    return body, f"multipart/form-data; boundary={boundary}"
