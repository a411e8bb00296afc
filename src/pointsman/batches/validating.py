"""Reading the input file of a batch: every line is looked at before any of them costs anything.

The file is read once, piece by piece; of its lines only places and ids are kept, in the store. A file in which anything
is wrong makes a batch that has failed, and tells each fault with its line. Whoever is killed over it has lost nothing:
the next one begins anew, and lines that are there already stay.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing

import msgspec

from pointsman.batches.files import Files, Line
from pointsman.batches.protocol.lines import LineRequest, Lines
from pointsman.batches.protocol.objects import BatchDoc, BatchError, doc_of, plain
from pointsman.batches.settings import BatchSettings
from pointsman.errors import GatewayError, InvalidRequest, ObjectNotFound
from pointsman.store.work import BatchRow, Executor, NewLine, WorkRecords
from pointsman.wire.operations import Operation

CHUNK = 1_000
"""Lines that are added in one transaction."""
SLICE_LINES = 32
SLICE_BYTES = 128 << 10
"""After so much the others in the event loop have their turn."""
SPARE_LINES = 100
"""That may be empty in a file of any size, and as many more as it may have requests."""
MAX_MODELS = 1_000
"""About which an answer is remembered."""

MayUse = Callable[[Operation, str | None], None]
"""Raises a :class:`GatewayError` where the batch's caller may not use a model, or there is none."""
ChooseExecutor = Callable[[BatchDoc], Executor]


def by_lines(_doc: BatchDoc) -> Executor:
    """Each line is run here."""
    return "lines"


async def validate(
    row: BatchRow,
    work: WorkRecords,
    files: Files,
    is_mine: Callable[[], bool],
    may_use: MayUse,
    settings: BatchSettings,
    choose: ChooseExecutor = by_lines,
) -> None:
    """Look at the input file of a batch that is leased, and let its lines be run or let it fail.

    When somebody else has the batch by then, or it was cancelled, nothing is done; ``is_mine`` tells of it on the way.

    :raises StoreDown: the store is away
    :raises Overloaded: the files are; either way it can be done again
    """
    doc = doc_of(row)
    try:
        source = await files.find(row.owner, doc.input_file_id)
    except ObjectNotFound:
        await _end(row, work, doc, [_error("file_not_found", "The input file is not there any more")])
        return
    check = _Check(row, doc, may_use, settings)
    keeping = _Keeping(row, work, is_mine)
    async with aclosing(files.lines(source, limit=settings.max_line_bytes)) as lines:
        number = 0
        async for line in lines:
            number += 1
            found = check.line(number, line)
            if check.is_full:
                break
            if not await keeping.passed(line, found if not check.errors else None):
                return
    errors = check.verdict()
    if errors:
        await _end(row, work, doc, errors)
    elif await keeping.flush():
        doc = msgspec.structs.replace(doc, model=check.model)
        await work.validated(row.lease, plain(doc), choose(doc))


async def fail(row: BatchRow, work: WorkRecords, error: GatewayError) -> None:
    """End a batch that cannot be begun at all, such as when its caller's key is gone."""
    await _end(row, work, doc_of(row), [_error(error.code or error.kind, error.message, error.param)])


async def _end(row: BatchRow, work: WorkRecords, doc: BatchDoc, errors: list[BatchError]) -> None:
    await work.end(row.lease, plain(msgspec.structs.replace(doc, errors=tuple(errors))), state="failed")


def _error(code: str, message: str, param: str | None = None, line: int | None = None) -> BatchError:
    return BatchError(code=code, message=message, param=param, line=line)


class _Check:
    """What is wrong with the lines so far."""

    def __init__(self, row: BatchRow, doc: BatchDoc, may_use: MayUse, settings: BatchSettings) -> None:
        self._is_lenient = row.kind == "anthropic"
        self._lines = Lines(doc.endpoint, is_lenient=self._is_lenient)
        self._may_use = may_use
        self._settings = settings
        self._max_requests = settings.max_message_requests if self._is_lenient else settings.max_requests
        self._models: dict[tuple[str, str | None], GatewayError | None] = {}
        self._count = 0
        self._number = 0
        self.errors: list[BatchError] = []
        self.model: str | None = None
        """That of all lines; ``None``: they have several."""

    @property
    def is_full(self) -> bool:
        """Whether there is no use in reading on."""
        return len(self.errors) >= self._settings.max_errors or self._is_too_long

    @property
    def _is_too_long(self) -> bool:
        return self._count > self._max_requests or self._number > 2 * self._max_requests + SPARE_LINES

    def line(self, number: int, line: Line) -> NewLine | None:
        """Look at a line; ``None``: it is empty, or wrong."""
        self._number = number
        if line.length == 0 or (line.data is not None and line.data.isspace()):
            return None
        self._count += 1
        try:
            request = self._request(number, line)
        except GatewayError as error:
            self.errors.append(_error(error.code or "invalid_request", error.message, error.param, number))
            return None
        self.model = request.model if self._count == 1 or self.model == request.model else None
        return NewLine(number, request.custom_id, line.offset, line.length)

    def verdict(self) -> list[BatchError]:
        """What is wrong with the file, all in all."""
        if self._is_too_long:
            told = f"A batch can hold {self._max_requests} requests: the file has more, or too many empty lines"
            return [*self.errors, _error("too_many_lines", told)]
        if not self._count:
            return [_error("empty_file", "The input file is empty: it needs one request at least")]
        return self.errors

    def _request(self, number: int, line: Line) -> LineRequest:
        if line.data is None:
            raise InvalidRequest(
                f"The line has {line.length} bytes; at most {self._settings.max_line_bytes} are accepted",
                code="line_too_long",
            )
        request = self._lines.read(number, line.data)
        if not self._is_lenient:
            self._check_model(request)
        return request

    def _check_model(self, request: LineRequest) -> None:
        key = (request.endpoint, request.model)
        if key not in self._models:
            if len(self._models) >= MAX_MODELS:
                self._models.clear()
            try:
                self._may_use(request.operation, request.model)
                self._models[key] = None
            except GatewayError as error:
                self._models[key] = error.with_traceback(None)
        refusal = self._models[key]
        if refusal is not None:
            raise InvalidRequest(refusal.message, code=refusal.code, param="body.model")


class _Keeping:
    """Adds lines to the store in chunks, and lets others have their turn."""

    def __init__(self, row: BatchRow, work: WorkRecords, is_mine: Callable[[], bool]) -> None:
        self._lease = row.lease
        self._work = work
        self._is_mine = is_mine
        self._waiting: list[NewLine] = []
        self._lines = 0
        self._bytes = 0

    async def passed(self, line: Line, found: NewLine | None) -> bool:
        """A line was looked at; ``False``: the batch is somebody else's now."""
        if found is not None:
            self._waiting.append(found)
        self._lines += 1
        self._bytes += line.length
        if self._lines < SLICE_LINES and self._bytes < SLICE_BYTES:
            return True
        self._lines = self._bytes = 0
        await asyncio.sleep(0)
        if len(self._waiting) >= CHUNK and not await self.flush():
            return False
        return self._is_mine()

    async def flush(self) -> bool:
        """Add what waits; ``False``: the batch is somebody else's now."""
        waiting, self._waiting = self._waiting, []
        return not waiting or await self._work.add_lines(self._lease, waiting)
