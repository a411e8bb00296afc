"""Passing a multipart body on while it arrives.

Who serves a request depends on its ``model`` field, which clients put before or after the file. What has arrived is
held, in memory up to ``HELD_IN_MEMORY`` bytes and then on disk, so that it can be sent again when an upstream fails;
what arrives later goes straight on.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from os import SEEK_END
from types import TracebackType
from typing import Self

from pointsman.access.estimates import Form
from pointsman.errors import BodyTooLarge, Overloaded
from pointsman.providers.translation import UploadedFile
from pointsman.wire.multipart import FilePart, MultipartScanner, Splice, read_form

HELD_IN_MEMORY = 1024 * 1024
READ_BYTES = 65_536
NO_CHANGE = Splice(0, 0, b"")


class Upload:
    """One multipart body. Use as a context manager: what is held on disk goes with it."""

    def __init__(self, content_type: bytes, pieces: AsyncIterator[bytes], length: int | None) -> None:
        """``length`` is that of the body in bytes, ``None`` when the client did not say.

        :raises UnsupportedMediaType: ``content_type`` is not multipart/form-data
        :raises InvalidRequest: it has no valid boundary
        """
        self._scanner = MultipartScanner(content_type)
        self._content_type = content_type
        self._pieces = pieces
        self.size = length
        """In bytes, as the client has said."""
        self._arrived = 0
        self._is_closed = False
        self.is_held = True
        """Whether everything that has arrived can be sent again."""
        self._held = tempfile.SpooledTemporaryFile(max_size=HELD_IN_MEMORY)  # noqa: SIM115  closed in __exit__

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()

    async def find_model(self) -> str | None:
        """Read as far as the ``model`` field; ``None`` when the form has none.

        :raises InvalidRequest: the form is malformed
        :raises Overloaded: there is no room to hold what comes before the field
        """
        scanner = self._scanner
        async for piece in self._pieces:
            scanner.feed(piece)
            self._hold(piece)
            if "model" in scanner.fields:
                return scanner.fields["model"]
        scanner.close()
        return None

    @property
    def form(self) -> Form:
        """How much the form asks, as far as it has arrived."""
        return Form(self._arrived, self._scanner.parts, self._scanner.fields.get("n"))

    async def measure(self) -> Form:
        """All of the form, for those who have to know how much it asks before it goes on.

        :raises InvalidRequest: the form is malformed
        :raises Overloaded: there is no room to hold it
        """
        async for piece in self._pieces:
            self._scanner.feed(piece)
            self._hold(piece)
        self._close()
        return self.form

    async def read_form(self, max_bytes: int) -> dict[str, str | list[str] | UploadedFile]:
        """All of the form, for those who need it in another shape.

        :raises InvalidRequest: the form is malformed
        :raises BodyTooLarge: it has more than ``max_bytes``
        """
        pieces = []
        size = 0
        async for piece in self.outgoing(NO_CHANGE):
            size += len(piece)
            if size > max_bytes:
                raise BodyTooLarge(f"The provider of this model takes uploads of at most {max_bytes} bytes")
            pieces.append(piece)
        form = read_form(self._content_type, b"".join(pieces))
        return {
            name: UploadedFile(name=part.name, content_type=part.content_type, data=part.data)
            if isinstance(part, FilePart)
            else part
            for name, part in form.items()
        }

    def _hold(self, piece: bytes) -> None:
        self._arrived += len(piece)
        try:
            self._held.write(piece)
        except OSError as error:
            raise Overloaded(
                "The gateway has no room to hold this upload: send the model field before the file, or try again later",
                operator_detail=f"temporary files: {error.strerror}",
            ) from error

    def splice(self, model: str) -> Splice:
        """What puts ``model`` into the form: in the place of the caller's, or as a part of its own."""
        return self._scanner.replace_model(model) or self._scanner.insert_model(model)

    def length(self, splice: Splice) -> int | None:
        """Length of the outgoing body in bytes, where the client said that of its own."""
        return None if self.size is None else splice.length(self.size)

    async def outgoing(self, splice: Splice) -> AsyncIterator[bytes]:
        """The body with its model replaced: first what was held, then the rest as it arrives.

        Can be called again as long as ``is_held``; the one before must not be used any more then.

        :raises InvalidRequest: the rest of the form is malformed
        """
        offset = 0
        while piece := self._read(offset):
            if out := splice.apply(offset, piece):
                yield out
            offset += len(piece)
        async for piece in self._pieces:
            self._scanner.feed(piece)
            self._hold_if_possible(piece)
            if out := splice.apply(offset, piece):
                yield out
            offset += len(piece)
        self._close()

    def _close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._scanner.close()

    def _read(self, offset: int) -> bytes:
        self._held.seek(offset)
        return self._held.read(READ_BYTES)

    def _hold_if_possible(self, piece: bytes) -> None:
        """Without room the form still goes on to whom it is on its way to, and only to them."""
        self._arrived += len(piece)
        if not self.is_held:
            return
        try:
            self._held.seek(0, SEEK_END)
            self._held.write(piece)
        except OSError:
            self.is_held = False
