"""Reading multipart/form-data that lies in memory whole."""

from __future__ import annotations

import re

import msgspec

from pointsman.errors import InvalidRequest

_NAME = re.compile(rb'[;\s]name="([^"]*)"', re.IGNORECASE)
_FILE_NAME = re.compile(rb'[;\s]filename="([^"]*)"', re.IGNORECASE)
_MAX_BOUNDARY = 74
_MAX_PARTS = 64


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One field; ``file_name`` is ``None`` when it is no file."""

    name: str
    value: bytes
    file_name: str | None = None


def read_form(body: bytes) -> list[Part]:
    """The fields of a form. Its boundary is its first line (RFC 2046, 5.1.1; no client writes a preamble)."""
    boundary, _, _ = body[: _MAX_BOUNDARY + 4].partition(b"\r\n")
    if not boundary.startswith(b"--") or len(boundary) < 3:
        raise InvalidRequest("The body is not multipart/form-data")
    pieces = (b"\r\n" + body).split(b"\r\n" + boundary, _MAX_PARTS + 1)
    if len(pieces) > _MAX_PARTS + 1 or not pieces[-1].startswith(b"--"):
        raise InvalidRequest("The form does not end with its boundary, or has too many parts")
    return [_part(piece) for piece in pieces[1:-1]]


def _part(piece: bytes) -> Part:
    head, separator, value = piece.partition(b"\r\n\r\n")
    name = _NAME.search(head)
    if not separator or name is None:
        raise InvalidRequest("A part of the form has no name")
    file_name = _FILE_NAME.search(head)
    return Part(
        name=name.group(1).decode(errors="replace"),
        value=value,
        file_name=None if file_name is None else file_name.group(1).decode(errors="replace"),
    )


def text_of(parts: list[Part], name: str) -> str | None:
    """The last field of that name, as text."""
    found = [part.value for part in parts if part.name == name and part.file_name is None]
    return found[-1].decode(errors="replace") if found else None


def file_of(parts: list[Part], *names: str) -> Part:
    """The first file under one of the names; ``InvalidRequest`` when there is none."""
    for part in parts:
        if part.name in names and part.file_name is not None:
            return part
    raise InvalidRequest(f"The form must hold a file called {names[0]}", param=names[0])
