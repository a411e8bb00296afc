"""What clients ask for: make a batch, look at it, cancel it, read what came out of it.

Nothing is run here. A batch that is made stands in the store, and whoever of all processes takes it first goes on.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager, suppress
from typing import Final

import msgspec

from pointsman.access.caller import Caller
from pointsman.batches.files import BATCH, EVERYBODY, Files, NewFile, Writing, owner_of, translated
from pointsman.batches.protocol import anthropic
from pointsman.batches.protocol.creating import WINDOW_SECONDS, WantedBatch, carried
from pointsman.batches.protocol.lines import request_of
from pointsman.batches.protocol.objects import BatchDoc, doc_of, plain
from pointsman.batches.protocol.requests import RequestScanner
from pointsman.batches.protocol.states import ENDED
from pointsman.batches.settings import BatchSettings
from pointsman.errors import (
    BodyTooLarge,
    Forbidden,
    GatewayError,
    IdempotencyKeyReused,
    InternalError,
    InvalidRequest,
    ObjectNotFound,
    RateLimited,
)
from pointsman.store.base import Refused
from pointsman.store.files import FileRow
from pointsman.store.work import BatchQuery, BatchRow, NewBatch, WorkRecords

OPENAI: Final = "openai"
SLICE: Final = 64 << 10
"""Bytes that are looked at before others in the event loop have their turn."""
MAX_RESULT_BYTES: Final = 256 << 20
"""Of one line of an output file."""
KEPT_SECONDS: Final = WINDOW_SECONDS + 3600.0
"""That an input file is there at least: its lines are read when they are run."""
IDEMPOTENCY_KEY: Final = b"idempotency-key"
OPEN_RETRY_SECONDS: Final = 60.0
TURN_BYTES: Final = 16 << 10
"""Of results that are told by one reader before others in the event loop have their turn, however many readers."""
AN_HOUR: Final = 3_600.0
MAX_MADE: Final = 2_000
"""Batches of a user, or of a key without one, in an hour: each is told of for long, also if none of it could be run."""
MAX_SHOWN: Final = 100
ID_DIGITS: Final = 32


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Which part of a list; at most one of ``after`` and ``before`` is given, the id of a batch."""

    limit: int = 20
    after: str | None = None
    """The ones that are older than that."""
    before: str | None = None
    """The ones that are newer."""


class Batches:
    """All batches of this gateway, in one API or the other, which is their ``kind``.

    All of it raises :class:`Overloaded` where the store or the files are away.
    """

    def __init__(
        self,
        work: WorkRecords,
        files: Files,
        settings: Callable[[], BatchSettings],
        make_id: Callable[[], str],
    ) -> None:
        """``make_id`` gives letters and digits that nobody can guess."""
        self._work = work
        self._files = files
        self._settings = settings
        self._make_id = make_id
        self._turns = asyncio.Lock()

    @property
    def settings(self) -> BatchSettings:
        """Those in force."""
        return self._settings()

    async def create(self, caller: Caller, wanted: WantedBatch, headers: Mapping[bytes, bytes]) -> BatchRow:
        """Make a batch of an input file; its lines are looked at later.

        With an ``Idempotency-Key`` that was there before it is the batch that was made then.

        :raises InvalidRequest: the file is not there, is somebody else's, or is not for this
        :raises Forbidden: nobody could run it later
        :raises RateLimited: the caller has too many
        :raises IdempotencyKeyReused: that was another batch
        """
        _check_party(caller)
        source = await self._source(owner_of(caller), wanted.input_file_id)
        doc = BatchDoc(
            endpoint=wanted.endpoint,
            input_file_id=source.id,
            completion_window=wanted.completion_window,
            metadata=wanted.metadata,
            output_expires_after=wanted.output_expires_after,
        )
        await self._files.keep(source, KEPT_SECONDS)
        return await self._add(caller, self._id("batch", caller, headers), OPENAI, doc, headers)

    async def create_messages(
        self, caller: Caller, pieces: AsyncIterator[bytes], headers: Mapping[bytes, bytes]
    ) -> BatchRow:
        """The same of the requests in a body, as Anthropic has it.

        :raises InvalidRequest: that is not what it is
        :raises StorageFull: there is no room for it
        """
        _check_party(caller)
        owner, row_id = owner_of(caller), self._id("msgbatch", caller, headers)
        if not await self._is_repeated(row_id, headers):
            await self._files.check_share(owner)
            await self._check_count(owner)
        kept = max(KEPT_SECONDS, self._files.settings.batch_seconds)
        new = NewFile(owner=owner, purpose=BATCH, filename=f"{row_id}.jsonl", expires_seconds=kept)
        async with self._files.begin(new) as writing:
            count = await self._write_requests(pieces, writing)
            source = await writing.finish()
        doc = BatchDoc(endpoint=anthropic.ENDPOINT, input_file_id=source.id)
        is_used = False
        try:
            row = await self._add(caller, row_id, anthropic.KIND, doc, headers, count)
            is_used = doc_of(row).input_file_id == source.id
        finally:
            if not is_used:
                with suppress(GatewayError):
                    await self._files.delete(EVERYBODY, source.id)
        return row

    async def get(self, owner: str, kind: str, batch_id: str) -> BatchRow:
        """:raises ObjectNotFound: there is none, or it is somebody else's"""
        with _stored():
            row = await self._work.get(batch_id)
        if row is None or row.kind != kind or owner not in {EVERYBODY, row.owner}:
            raise ObjectNotFound(f"There is no batch {batch_id[:MAX_SHOWN]!r}", param="batch_id")
        return row

    async def page(self, owner: str, kind: str, page: Page) -> tuple[list[BatchRow], bool]:
        """Batches, the last one first, and whether there are more on that side.

        :raises InvalidRequest: ``after`` or ``before`` names no batch
        """
        is_ascending = page.before is not None
        name, cursor = ("before", page.before) if is_ascending else ("after", page.after)
        name += "_id" if kind == anthropic.KIND else ""
        after = None
        if cursor is not None:
            try:
                row = await self.get(owner, kind, cursor)
            except ObjectNotFound:
                raise InvalidRequest(f"{name!r} names no batch of this list", param=name) from None
            after = row.created_at, row.id
        query = BatchQuery(owner=None if owner == EVERYBODY else owner, kind=kind)
        with _stored():
            rows = await self._work.find(query, after=after, limit=page.limit + 1, is_ascending=is_ascending)
        shown = rows[: page.limit]
        return shown[::-1] if is_ascending else shown, len(rows) > page.limit

    async def cancel(self, owner: str, kind: str, batch_id: str) -> BatchRow:
        """Begin no more lines of a batch; those that are under way go on to their end.

        :raises ObjectNotFound: there is none, or it is somebody else's
        :raises InvalidRequest: it is over
        """
        row = await self.get(owner, kind, batch_id)
        if row.state in ENDED:
            raise InvalidRequest(f"Cannot cancel a batch with status '{row.state}'", code="batch_is_over")
        with _stored():
            return await self._work.cancel(batch_id) or row

    async def pause(self, batch_id: str, *, is_paused: bool) -> BatchRow:
        """Begin no more lines of anybody's batch, or do so again. Its time goes on.

        :raises ObjectNotFound: there is none
        :raises InvalidRequest: it is over
        """
        with _stored():
            row = await self._work.pause(batch_id, is_paused=is_paused)
        if row is None:
            raise ObjectNotFound(f"There is no batch {batch_id[:MAX_SHOWN]!r}", param="batch_id")
        if row.state in ENDED:
            raise InvalidRequest(f"A batch with status '{row.state}' has nothing left to do", code="batch_is_over")
        return row

    async def delete(self, owner: str, kind: str, batch_id: str) -> BatchRow:
        """Forget a batch that is over, with its files.

        :raises ObjectNotFound: there is none, or it is somebody else's
        :raises InvalidRequest: it is not over
        """
        row = await self.get(owner, kind, batch_id)
        with _stored():
            is_gone = await self._work.delete(batch_id)
        if not is_gone:
            raise InvalidRequest(f"The batch {batch_id} is being processed: cancel it and wait for its end first")
        doc = doc_of(row)
        for file_id in (doc.input_file_id, doc.output_file_id, doc.error_file_id):
            if file_id is not None:
                # What is left goes when its time is over.
                with suppress(GatewayError):
                    await self._files.delete(row.owner, file_id)
        return row

    async def results(self, owner: str, batch_id: str) -> AsyncGenerator[bytes]:
        """The results of a batch in Anthropic's words, line by line.

        :raises ObjectNotFound: there is none, it is not over, or what came of it is kept no more
        """
        row = await self.get(owner, anthropic.KIND, batch_id)
        if row.state not in ENDED:
            raise ObjectNotFound(f"The batch {batch_id} has no results yet: wait until it has ended")
        doc = doc_of(row)
        ids = [one for one in (doc.output_file_id, doc.error_file_id) if one is not None]
        if ids:
            return self._told([await self._kept(row, one) for one in ids], anthropic.result_line)
        result = anthropic.never_run(row.state, doc)
        source = await self._kept(row, doc.input_file_id)
        return self._told([source], lambda line: anthropic.told_line(request_of(line).custom_id, result))

    async def _told(self, files: list[FileRow], tell: Callable[[bytes], bytes]) -> AsyncGenerator[bytes]:
        size = 0
        for one in files:
            async with aclosing(self._files.lines(one, limit=MAX_RESULT_BYTES)) as lines:
                async for line in lines:
                    if line.data is None:
                        raise InternalError(operator_detail=f"line at {line.offset} of {one.id} is too long")
                    told = tell(line.data)
                    yield told
                    size += len(told)
                    if size >= TURN_BYTES:
                        size = 0
                        async with self._turns:
                            await asyncio.sleep(0)

    async def _kept(self, row: BatchRow, file_id: str) -> FileRow:
        try:
            return await self._files.find(row.owner, file_id)
        except ObjectNotFound:
            raise ObjectNotFound(f"The results of batch {row.id} are not kept any more") from None

    async def _source(self, owner: str, file_id: str) -> FileRow:
        try:
            source = await self._files.find(owner, file_id)
        except ObjectNotFound:
            raise InvalidRequest(
                f"There is no file {file_id[:MAX_SHOWN]!r}", code="file_not_found", param="input_file_id"
            ) from None
        if source.purpose != BATCH:
            raise InvalidRequest(
                f"The file was uploaded with purpose {source.purpose!r}: a batch needs one with 'batch'",
                code="invalid_purpose",
                param="input_file_id",
            )
        most = self.settings.max_input_bytes
        if source.bytes > most:
            raise InvalidRequest(
                f"The file has {source.bytes} bytes, and a batch can have {most}: make several of it",
                code="file_too_large",
                param="input_file_id",
            )
        return source

    async def _add(
        self, caller: Caller, row_id: str, kind: str, doc: BatchDoc, headers: Mapping[bytes, bytes], total: int = 0
    ) -> BatchRow:
        if not await self._is_repeated(row_id, headers):
            await self._check_count(owner_of(caller))
        doc = msgspec.structs.replace(doc, headers=carried(headers), requested_by=caller.name, account=caller.account)
        new = NewBatch(
            id=row_id,
            owner=owner_of(caller),
            key_id=caller.id,
            kind=kind,
            seconds=WINDOW_SECONDS,
            doc=plain(doc),
            total=total,
        )
        with _stored():
            try:
                return await self._work.create(new)
            except Refused:
                row = await self._work.get(row_id)
                if row is None:
                    raise
        if not await self._is_same(doc_of(row), doc):
            raise IdempotencyKeyReused
        return row

    async def _is_repeated(self, row_id: str, headers: Mapping[bytes, bytes]) -> bool:
        if not headers.get(IDEMPOTENCY_KEY):
            return False
        with _stored():
            return await self._work.get(row_id) is not None

    async def _check_count(self, owner: str) -> None:
        if owner == EVERYBODY:
            return
        most = self.settings.max_open
        with _stored():
            count = await self._work.count_open(owner)
            made = await self._work.count_made(owner, self._files.now() - AN_HOUR)
        if count >= most:
            told = f"You have {count} batches that have not ended, and can have {most} at a time"
        elif made >= MAX_MADE:
            told = (
                f"You have made {made} batches in the last hour, and can make {MAX_MADE}: put more requests into each"
            )
        else:
            return
        raise RateLimited(told, code="too_many_batches", retry_after=OPEN_RETRY_SECONDS)

    def _id(self, prefix: str, caller: Caller, headers: Mapping[bytes, bytes]) -> str:
        """The id of a new batch; the same for the same ``Idempotency-Key``, so that it is made once."""
        key = headers.get(IDEMPOTENCY_KEY)
        if not key:
            return f"{prefix}_{self._make_id()}"
        whose = f"{caller.account}\0{owner_of(caller)}\0".encode()
        return f"{prefix}_{hashlib.sha256(whose + key).hexdigest()[:ID_DIGITS]}"

    async def _is_same(self, one: BatchDoc, other: BatchDoc) -> bool:
        if (one.endpoint, one.metadata) != (other.endpoint, other.metadata):
            return False
        if one.input_file_id == other.input_file_id:
            return True
        try:
            files = [await self._files.find(EVERYBODY, doc.input_file_id) for doc in (one, other)]
        except ObjectNotFound:
            return False
        return files[0].sha256 == files[1].sha256

    async def _write_requests(self, pieces: AsyncIterator[bytes], writing: Writing) -> int:
        settings = self.settings
        scanner = RequestScanner(settings.max_line_bytes - anthropic.OVERHEAD)
        lines = anthropic.RequestLines()
        async for piece in pieces:
            for start in range(0, len(piece), SLICE):
                for request in scanner.feed(piece[start : start + SLICE]):
                    if len(lines) >= settings.max_message_requests:
                        most = settings.max_message_requests
                        raise BodyTooLarge(f"requests: a batch can have {most}; make several of it")
                    await writing.write(lines.line(request))
                await asyncio.sleep(0)
        scanner.close()
        return len(lines)


def _check_party(caller: Caller) -> None:
    """:raises Forbidden: nobody could look the caller up again when the lines are run"""
    if not caller.is_master and not caller.id:
        raise Forbidden("A token cannot make batches, which may be run when it has ended: use a virtual key")


@contextmanager
def _stored() -> Iterator[None]:
    with translated():
        try:
            yield
        except Refused:
            raise InvalidRequest("A text holds characters that cannot be stored") from None
