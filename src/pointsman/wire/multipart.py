"""Scanning multipart/form-data (RFC 7578) as it passes through.

The scanner is fed the body in pieces and keeps nothing of the files: only the small text fields that decide
about a request, and where in the body the value of ``model`` stands, so that the caller can replace it.

It is strict where parsers disagree, because what is authorised here must be what the upstream reads: no text
before the first boundary, no padding behind a boundary, no folded headers, no field twice, no ``name*``.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import Final

import msgspec

from pointsman.errors import BodyTooLarge, InvalidRequest, UnsupportedMediaType

MAX_HEADER_BYTES: Final = 8192
MAX_PARTS: Final = 64
MAX_FIELD_BYTES: Final = 1024

_KEPT: Final = frozenset({"model", "stream", "response_format", "user", "n"})
_OPERATORS: Final = frozenset({"api_key", "api_base", "base_url"})
_BOUNDARY: Final = re.compile(
    rb';[ \t]*boundary=(?:"(?P<quoted>[^"\\\r\n]*)"|(?P<plain>[^;" \t\r\n]*))[ \t]*(?=;|\Z)', re.IGNORECASE
)
# RFC 2046, section 5.1.1: bchars, not ending in a space.
_ALLOWED: Final = re.compile(rb"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]")
_PARAMETER: Final = re.compile(
    rb"""[ \t]*;[ \t]*(?P<name>[!#$%&'*+\-.^_`|~0-9A-Za-z]+)=(?P<value>"(?:[^"\\]|\\.)*"|[^;"\\ \t]+)"""
)
_HEADER_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")

_CRLF: Final = b"\r\n"
_BLANK: Final = b"\r\n\r\n"


class Splice(msgspec.Struct, frozen=True):
    """One byte range of a body, to be replaced while the body passes through."""

    start: int
    end: int
    new: bytes

    def length(self, total: int) -> int:
        """Length of the new body, from that of the old one."""
        return total - (self.end - self.start) + len(self.new)

    def apply(self, offset: int, piece: bytes) -> bytes:
        """Give what becomes of ``piece``, which stands at ``offset`` in the old body.

        The new value goes where the old one began; pieces may be cut anywhere.
        """
        start = self.start - offset
        end = self.end - offset
        if start >= len(piece) or end < 0 or (end == 0 and start < 0):
            return piece
        new = self.new if start >= 0 else b""
        return piece[: max(0, start)] + new + piece[max(0, end) :]


class FilePart(msgspec.Struct, frozen=True):
    """A file in a form."""

    name: str
    content_type: str
    data: bytes


class _State(Enum):
    START = auto()
    HEADERS = auto()
    CONTENT = auto()
    BOUNDARY = auto()
    END = auto()


class MultipartScanner:
    """Find the deciding fields of a form while its bytes pass.

    ``content_type`` is the request's header. Raises :class:`UnsupportedMediaType` if that is not
    multipart/form-data, and :class:`InvalidRequest` if it has no valid boundary.
    """

    kept = _KEPT
    """Names of the fields that decide."""

    def __init__(self, content_type: bytes) -> None:
        boundary = _read_boundary(content_type)
        self._delimiter = b"\r\n--" + boundary
        self._state = _State.START
        self._window = b""
        self._offset = 0
        self._value = bytearray()
        self._value_start = 0
        self._name: str | None = None
        self.parts = 0
        """Parts begun."""
        self.fields: dict[str, str] = {}
        """The text fields that decide, as far as they were seen whole."""
        self.model_span: tuple[int, int] | None = None
        """First byte of the value of ``model`` in the body, and the byte after its last."""

    @property
    def is_complete(self) -> bool:
        """Whether the closing boundary was seen; what follows it is ignored."""
        return self._state is _State.END

    def feed(self, piece: bytes) -> None:
        """Take the next bytes of the body.

        Raises :class:`InvalidRequest` for what is malformed and :class:`BodyTooLarge` for too many parts.
        """
        if self._state is _State.END:
            return
        self._window += piece
        while self._step():
            pass

    def close(self) -> None:
        """Say that the body has ended; raises :class:`InvalidRequest` if the form has not."""
        if self._state is not _State.END:
            raise _malformed("it ends before its closing boundary")

    def replace_model(self, new: str) -> Splice | None:
        """Give the change that puts ``new`` in the place of ``model``; ``None`` if no model was seen."""
        return None if self.model_span is None else Splice(*self.model_span, self._checked(new))

    def insert_model(self, new: str) -> Splice:
        """Give the change that adds ``model`` to a form without one, as its first part."""
        part = b'%b\r\nContent-Disposition: form-data; name="model"\r\n\r\n%b\r\n'
        return Splice(0, 0, part % (self._delimiter[2:], self._checked(new)))

    def _checked(self, new: str) -> bytes:
        value = new.encode()
        if self._delimiter[2:] in value or b"\r" in value or b"\n" in value:
            raise InvalidRequest("Invalid 'model': it would break the form", param="model")
        return value

    def _step(self) -> bool:
        """Go one state further; False when that needs more bytes."""
        if self._state is _State.CONTENT:
            return self._content()
        if self._state is _State.HEADERS:
            return self._headers()
        if self._state is _State.BOUNDARY:
            return self._boundary()
        return self._state is _State.START and self._start()

    def _start(self) -> bool:
        opening = self._delimiter[2:]
        if not self._window.startswith(opening):
            if opening.startswith(self._window):
                return False
            raise _malformed("it does not begin with the boundary of its Content-Type")
        self._take(len(opening))
        self._state = _State.BOUNDARY
        return True

    def _boundary(self) -> bool:
        end = self._window[:2]
        if len(end) < 2:
            return False
        if end == b"--":
            self._window = b""
            self._state = _State.END
            return False
        if end != _CRLF:
            raise _malformed("a boundary is not followed by a line end")
        self.parts += 1
        if self.parts > MAX_PARTS:
            raise BodyTooLarge(f"The form has more than {MAX_PARTS} parts")
        # The line end stays: it begins the blank line of a part without headers.
        self._state = _State.HEADERS
        return True

    def _headers(self) -> bool:
        end = self._window.find(_BLANK, 0, MAX_HEADER_BYTES)
        if end < 0:
            if len(self._window) >= MAX_HEADER_BYTES:
                raise _malformed(f"the headers of a part are longer than {MAX_HEADER_BYTES} bytes")
            return False
        self._name = self._read_name(self._window[2:end])
        self._take(end + len(_BLANK))
        self._value.clear()
        self._value_start = self._offset
        self._state = _State.CONTENT
        return True

    def _content(self) -> bool:
        window, delimiter = self._window, self._delimiter
        # Some parsers take a boundary right behind the headers for the end of an empty part, others do not.
        if self._offset == self._value_start and not self._value:
            if window.startswith(delimiter[2:]):
                raise _malformed("a part lacks the line end before its boundary")
            if delimiter[2:].startswith(window):
                return False
        end = window.find(delimiter)
        # What may be the beginning of a delimiter stays in the window.
        self._keep(window[: end if end >= 0 else max(0, len(window) - len(delimiter) + 1)])
        if end < 0:
            return False
        self._finish_part()
        self._take(len(delimiter))
        self._state = _State.BOUNDARY
        return True

    def _take(self, size: int) -> None:
        self._window = self._window[size:]
        self._offset += size

    def _keep(self, content: bytes) -> None:
        if self._name is not None:
            self._value += content
            if len(self._value) > MAX_FIELD_BYTES:
                raise InvalidRequest(f"Invalid '{self._name}': longer than {MAX_FIELD_BYTES} bytes", param=self._name)
        elif content:
            self._pass(content)
        self._take(len(content))

    def _pass(self, content: bytes) -> None:
        """Something of a part whose value does not decide."""

    def _finish_part(self) -> None:
        if self._name is None:
            return
        try:
            self.fields[self._name] = self._value.decode()
        except UnicodeDecodeError:
            raise InvalidRequest(f"Invalid '{self._name}': not UTF-8", param=self._name) from None
        if self._name == "model":
            self.model_span = (self._value_start, self._value_start + len(self._value))

    def _read_name(self, block: bytes) -> str | None:
        """Give the name of a part if its value is wanted."""
        disposition, has_encoding = _read_headers(block)
        parameters = _read_parameters(disposition)
        name = _read_field_name(parameters)
        if name in _OPERATORS:
            raise InvalidRequest(f"'{name}' is set by the gateway's operator; remove it", param=name)
        if name not in self.kept:
            return None
        if name in self.fields:
            raise InvalidRequest(f"Invalid '{name}': given more than once", param=name)
        if has_encoding or b"filename" in parameters or b"filename*" in parameters:
            raise InvalidRequest(f"Invalid '{name}': expected a plain text field", param=name)
        return name


def read_form(content_type: bytes, body: bytes) -> dict[str, str | list[str] | FilePart]:
    """Read the whole form ``body``, which a :class:`MultipartScanner` has taken to its end without complaint.

    A field that stands several times, or whose name ends in ``[]``, becomes a list, its name without the brackets.
    Raises :class:`InvalidRequest` for a text field that is not UTF-8.
    """
    delimiter = b"\r\n--" + _read_boundary(content_type)
    form: dict[str, str | list[str] | FilePart] = {}
    for part in (b"\r\n" + body).split(delimiter)[1:]:
        if part.startswith(b"--"):
            break
        block, _, content = part[len(_CRLF) :].partition(_BLANK)
        name, parameters = read_disposition(block)
        if b"filename" in parameters or b"filename*" in parameters:
            file_name = parameters.get(b"filename", b"").strip(b'"').decode("utf-8", "replace")
            form[name] = FilePart(file_name, _read_type(block), content)
            continue
        try:
            text = content.decode()
        except UnicodeDecodeError:
            raise InvalidRequest(f"Invalid '{name}': not UTF-8", param=name) from None
        before = form.get(name.removesuffix("[]"))
        if name.endswith("[]") or isinstance(before, str | list):
            texts = before if isinstance(before, list) else [before] if isinstance(before, str) else []
            form[name.removesuffix("[]")] = [*texts, text]
        else:
            form[name] = text
    return form


def _read_type(block: bytes) -> str:
    for line in block.split(_CRLF):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-type":
            return value.strip().decode("latin-1")
    return "application/octet-stream"


def read_disposition(block: bytes) -> tuple[str, dict[bytes, bytes]]:
    """The name of the part with these headers, and what else its Content-Disposition says, with its quotes.

    Raises :class:`InvalidRequest` for headers that are malformed.
    """
    parameters = _read_parameters(_read_headers(block)[0])
    return _read_field_name(parameters), parameters


def _read_boundary(content_type: bytes) -> bytes:
    kind = content_type.partition(b";")[0].strip().lower()
    if kind != b"multipart/form-data":
        raise UnsupportedMediaType("The Content-Type must be multipart/form-data")
    found = _BOUNDARY.findall(content_type)
    if len(found) != 1:
        raise InvalidRequest("The Content-Type must have one boundary")
    boundary: bytes = found[0][0] or found[0][1]
    if not _ALLOWED.fullmatch(boundary):
        raise InvalidRequest("The boundary in the Content-Type is not valid: 1 to 70 characters of RFC 2046")
    return boundary


def _read_headers(block: bytes) -> tuple[bytes, bool]:
    """Give the Content-Disposition of a part, and whether it has a Content-Transfer-Encoding."""
    dispositions = []
    has_encoding = False
    for line in block.split(_CRLF):
        name, colon, value = line.partition(b":")
        if not colon or not _HEADER_NAME.fullmatch(name) or b"\r" in value or b"\n" in value or b"\0" in value:
            raise _malformed("a part has a header line that is not valid")
        lowered = name.lower()
        if lowered == b"content-disposition":
            dispositions.append(value.strip())
        elif lowered == b"content-transfer-encoding":
            has_encoding = True
    if len(dispositions) != 1:
        raise _malformed("a part must have one Content-Disposition")
    return dispositions[0], has_encoding


def _read_parameters(disposition: bytes) -> dict[bytes, bytes]:
    """Give the parameters of ``form-data; name="model"; ...`` with their quotes, names in lower case."""
    if disposition[:9].lower() != b"form-data":
        raise _malformed("the Content-Disposition of a part is not form-data")
    parameters: dict[bytes, bytes] = {}
    at = len(b"form-data")
    while found := _PARAMETER.match(disposition, at):
        name = found["name"].lower()
        if name in parameters:
            raise _malformed("a Content-Disposition has a parameter twice")
        parameters[name] = found["value"]
        at = found.end()
    if disposition[at:].strip(b"; \t"):
        raise _malformed("the Content-Disposition of a part cannot be read")
    return parameters


def _read_field_name(parameters: dict[bytes, bytes]) -> str:
    name = parameters.get(b"name", b"").strip(b'"')
    # Backslashes in names are unescaped by some parsers and kept by others.
    if not name or b"\\" in name or b"name*" in parameters:
        raise _malformed("a part must have one plain name")
    return name.decode("utf-8", "replace")


def _malformed(what: str) -> InvalidRequest:
    return InvalidRequest(f"The form is malformed: {what}")
