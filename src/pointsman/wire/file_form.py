"""A form that brings one file, which is not held: its bytes come out as they go in."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

from pointsman.errors import InvalidRequest
from pointsman.wire.multipart import MultipartScanner, read_disposition

FILE: Final = "file"
MAX_NAME: Final = 255
"""Characters of the name of a file."""
UNNAMED: Final = "file"
_TRANSFORMED: Final = re.compile(rb"(?im)^content-transfer-encoding:(?!\s*(?:binary|8bit|7bit)\s*$)")
_ENCODED: Final = b"utf-8''"


class FileForm(MultipartScanner):
    """Reads ``multipart/form-data`` with a part called ``file`` and some fields, in any order."""

    kept = frozenset({"purpose", "expires_after", "expires_after[anchor]", "expires_after[seconds]"})

    def __init__(self, content_type: bytes) -> None:
        """See :class:`~pointsman.wire.multipart.MultipartScanner` for what it raises."""
        super().__init__(content_type)
        self.filename: str | None = None
        """``None``: the file has not begun."""
        self._is_in_file = False
        self._found: list[bytes] = []

    def take(self, piece: bytes) -> list[bytes]:
        """Take the next bytes of the body; gives what they hold of the file.

        :raises InvalidRequest: it is malformed
        :raises BodyTooLarge: it has too many parts
        """
        self.feed(piece)
        found, self._found = self._found, []
        return found

    def close(self) -> None:
        """Say that the body has ended.

        :raises InvalidRequest: the form has not, or there was no file in it
        """
        super().close()
        if self.filename is None:
            raise InvalidRequest("The form has no part called 'file'", param=FILE)

    def _read_name(self, block: bytes) -> str | None:
        name, parameters = read_disposition(block)
        self._is_in_file = name == FILE
        if not self._is_in_file:
            return super()._read_name(block)
        if _TRANSFORMED.search(block):
            raise InvalidRequest("Invalid 'file': its Content-Transfer-Encoding must be binary", param=FILE)
        if self.filename is not None:
            raise InvalidRequest("Invalid 'file': given more than once", param=FILE)
        self.filename = _file_name(parameters)
        return None

    def _pass(self, content: bytes) -> None:
        if self._is_in_file:
            self._found.append(content)


def _file_name(parameters: dict[bytes, bytes]) -> str:
    """The last part of a path, without what cannot be shown; names of other encodings than UTF-8 are not known."""
    encoded = parameters.get(b"filename*", b"").strip(b'"')
    if encoded.lower().startswith(_ENCODED):
        text = unquote(encoded[len(_ENCODED) :].decode("latin-1"), errors="replace")
    else:
        # Browsers, and what does as they do, escape a quote in one way, others in the other.
        given = parameters.get(b"filename", b"").strip(b'"').replace(b"%22", b'"').replace(b'\\"', b'"')
        text = given.decode("utf-8", "replace")
    last = text.replace("\\", "/").rpartition("/")[2]
    shown = "".join(one for one in last if one.isprintable())[-MAX_NAME:]
    return shown if shown.strip(". ") else UNNAMED
