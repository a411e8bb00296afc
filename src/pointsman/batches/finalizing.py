"""The last step of a batch: its output and error files are written.

They are made of the lines as they are in the store, a few at a time, under ids that follow from the batch's: whoever
was killed over it has left nothing that counts, and the next one writes the same files again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Final

import msgspec

from pointsman.batches.files import OUTPUT, Files, NewFile, Writing, file_id
from pointsman.batches.protocol.objects import BatchDoc, doc_of, plain
from pointsman.store.work import LEASE_SECONDS, BatchRow, LineRow, WorkRecords

PAGE: Final = 256
"""Lines that are read at a time."""
PIECE_BYTES: Final = 256 << 10
NEVER: Final = {
    "cancelled": ("batch_cancelled", "This request was not executed because the batch was cancelled."),
    "expired": ("batch_expired", "This request could not be executed before the completion window expired."),
    "failed": ("batch_failed", "This request was not executed because the batch failed."),
    "completed": ("batch_failed", "This request was not executed."),
}
"""What is told of lines that were not run, by how the batch has ended."""
LINE_ENDS: Final = (
    (b"\xc2\x85", b"\\u0085"),
    (b"\xe2\x80\xa8", b"\\u2028"),
    (b"\xe2\x80\xa9", b"\\u2029"),
)
"""Characters that JSON may have inside of texts, and that end a line for many who read one after the other."""
ID_DIGITS: Final = 32
_encode: Final = msgspec.json.Encoder().encode


async def finalize(
    row: BatchRow, work: WorkRecords, files: Files, is_mine: Callable[[], bool], seconds: float = LEASE_SECONDS
) -> BatchRow | None:
    """Write the files of a batch that is leased, for so many seconds, and whose lines do not change any more; end it.

    ``None``: somebody else has it by now, as ``is_mine`` tells while it goes on.

    :raises StoreDown: the store is away
    :raises Overloaded: the blobs are
    :raises StorageFull: there is no room
    """
    doc = doc_of(row)
    async with (
        files.begin(_new(row, doc, "output")) as output,
        files.begin(_new(row, doc, "error")) as errors,
    ):
        pieces = _Pieces(output), _Pieces(errors)
        after = 0
        # Of what was cancelled before it was validated only some lines may be there, and none of them was looked at.
        while row.in_progress_at is not None and (lines := await work.lines(row.id, after=after, limit=PAGE)):
            if not is_mine():
                return None
            after = lines[-1].number
            for line in lines:
                is_answer = line.state == "done" and not line.is_failed
                await pieces[0 if is_answer else 1].add(written(row, line))
        # Whoever has had it long enough to end it has deleted lines that are missing here.
        if not await work.hold(row.lease, seconds):
            return None
        doc = msgspec.structs.replace(doc, output_file_id=await pieces[0].end(), error_file_id=await pieces[1].end())
    ended = await work.end(row.lease, plain(doc))
    if ended is not None:
        await work.clear(row.id)
    return ended


def written(row: BatchRow, line: LineRow) -> bytes:
    """A line of an output or an error file."""
    head = b'{"id":%b,"custom_id":%b,"response":' % (_encode(_id(row.id, line.number)), _encode(line.custom_id))
    if line.state != "done":
        code, message = NEVER[row.ending or "failed"]
        return head + b'null,"error":%b}\n' % _encode({"code": code, "message": message})
    told = (line.status, _encode(line.request_id), line.body)
    text = head + b'{"status_code":%d,"request_id":%b,"body":%b},"error":null}\n' % told
    if not text.isascii():
        for end, escaped in LINE_ENDS:
            text = text.replace(end, escaped)
    return text


def _id(batch: str, number: int) -> str:
    return "batch_req_" + hashlib.sha256(f"{batch}:{number}".encode()).hexdigest()[:ID_DIGITS]


def _new(row: BatchRow, doc: BatchDoc, what: str) -> NewFile:
    expires: Any = (doc.output_expires_after or {}).get("seconds")
    return NewFile(
        owner=row.owner,
        purpose=OUTPUT,
        filename=f"{row.id}_{what}.jsonl",
        expires_seconds=expires,
        id=file_id(f"{row.id}:{what}"),
    )


class _Pieces:
    """Gathers lines, so that the disk is not asked for each of them."""

    def __init__(self, writing: Writing) -> None:
        self._writing = writing
        self._lines: list[bytes] = []
        self._size = 0

    async def add(self, line: bytes) -> None:
        self._lines.append(line)
        self._size += len(line)
        if self._size >= PIECE_BYTES:
            await self._flush()

    async def end(self) -> str | None:
        """The id of the file; ``None``: there is nothing in it."""
        if self._lines:
            await self._flush()
        return (await self._writing.finish()).id if self._writing.size else None

    async def _flush(self) -> None:
        lines, self._lines, self._size = self._lines, [], 0
        await self._writing.write(b"".join(lines))
