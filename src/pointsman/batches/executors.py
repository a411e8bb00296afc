"""Who runs the lines of a batch: this gateway one by one, or a provider the whole batch, for half the price.

The operator chooses a provider by ``batch: provider`` at a deployment. It is asked for batches all of whose lines are
for the deployment's model and say nothing of how they are to be served, of callers without limits and budgets: what a
provider has begun, nobody can stop in time. Each step is written down before the next, in the batch's document: its
input file is there, then it is made, under a mark by which whoever comes after a crash finds it again, so that it is
never made twice. What comes of it is booked line by line, under ids that follow from the lines', so that it is never
paid for twice. A provider that refuses a batch is not asked again: then its lines are run here.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from typing import Final, Literal, NamedTuple

import msgspec

from pointsman.access.caller import Caller
from pointsman.access.policy import Access, may_call
from pointsman.batches.booking import Booking
from pointsman.batches.callers import Callers
from pointsman.batches.files import EVERYBODY, Files
from pointsman.batches.protocol.lines import ENDPOINTS, request_of
from pointsman.batches.protocol.objects import BatchDoc, doc_of, plain
from pointsman.batches.protocol.provider import PROVIDERS, Progress, Told, Who, asked
from pointsman.batches.protocol.states import ending
from pointsman.batches.remote import Remote
from pointsman.errors import CallerError, GatewayError, Overloaded, UpstreamError
from pointsman.pipeline.serve import Pipeline
from pointsman.pipeline.targets import Target
from pointsman.pipeline.till import Till
from pointsman.store.files import FileRow
from pointsman.store.work import BatchRow, Executor, LineRow, WorkRecords

POLL_SECONDS: Final = 30.0
PENDING_SECONDS: Final = 10.0
"""Until a provider is asked again whether it has looked at an input file."""
FAILED_SECONDS: Final = 60.0
"""Until a provider is asked again that has not answered."""
BEGIN_SECONDS: Final = 3_600.0
"""After which a batch is run here whose provider has not begun to work on it."""
GRACE_SECONDS: Final = 1800.0
"""That a provider is waited for which was told to stop: it takes up to ten minutes, and may be away."""
PAGE: Final = 256
"""Lines whose places are read at a time."""
SLICE_BYTES: Final = 256 << 10
"""Of lines that are read, and put into the provider's words, before others in the event loop have their turn."""
MAX_SHOWN: Final = 300
"""Characters of what a provider says, in the log."""
log = logging.getLogger(__name__)


class After(NamedTuple):
    """What a batch is left to."""

    kind: Literal["later", "here", "over", "lost"]
    """Asking the provider again; its lines being run here; its end; whoever has it by now."""
    progress: Progress = Progress()
    """With this and the next: of what is asked later."""
    seconds: float = 0.0


HERE: Final = After("here")
OVER: Final = After("over")
LOST: Final = After("lost")


class _Job(NamedTuple):
    """A batch that is gone on with."""

    row: BatchRow
    doc: BatchDoc
    progress: Progress
    pipeline: Pipeline
    is_mine: Callable[[], bool]


class ProviderExecutor:
    """Has providers run batches."""

    def __init__(
        self, work: WorkRecords, files: Files, callers: Callers, pipeline: Callable[[], Pipeline], till: Till
    ) -> None:
        self._work = work
        self._files = files
        self._callers = callers
        self._pipeline = pipeline
        self._till = till

    def choose(self, doc: BatchDoc) -> Executor:
        """Who is to run a batch whose lines are well."""
        # Headers that are kept say how each line is to be served.
        can_be = doc.model and doc.endpoint in PROVIDERS and not doc.headers
        return "provider" if can_be and _target(self._pipeline(), doc, Progress()) is not None else "lines"

    async def poll(self, row: BatchRow, is_mine: Callable[[], bool]) -> None:
        """Go on with a batch that is leased, and give the lease up."""
        doc = doc_of(row)
        progress = msgspec.convert(doc.provider, Progress)
        is_over = row.state == "cancelling" or row.expires_at <= self._till.now()
        if is_over and not progress.over_since:
            progress = msgspec.structs.replace(progress, over_since=self._till.now())
        # What leads to a provider stays as long as the pipeline does, also after a reload.
        pipeline = self._pipeline()
        target = _target(pipeline, doc, progress)
        try:
            if target is not None and progress.file and not progress.batch:
                progress = await self._found(row, progress, target)
            after = await self._go_on(_Job(row, doc, progress, pipeline, is_mine), target)
        except CallerError as error:
            log.warning("batch %s is run here: %s", row.id, error)
            after = HERE
        except UpstreamError as error:
            after = self._failed(row, progress, error)
        await self._leave(row, doc, after)

    async def _go_on(self, job: _Job, target: Target | None) -> After:
        row, progress = job.row, job.progress
        if target is not None and progress.batch:
            return await self._follow(job, target)
        if progress.over_since and (not progress.batch or self._is_late(progress)):
            return OVER
        if target is not None:
            return await self._begin(job, target)
        if not progress.batch:
            return HERE
        # It may be running, and would be paid for twice.
        log.warning("batch %s is run at %s, which no deployment leads to any more", row.id, progress.place)
        return After("later", progress, FAILED_SECONDS)

    def _failed(self, row: BatchRow, progress: Progress, error: UpstreamError) -> After:
        told = (row.id, error.status, error.operator_detail or error.message)
        if self._is_late(progress):
            return OVER
        if progress.batch or (error.is_retryable and (progress.file or self._may_wait(row, progress))):
            log.warning("the provider of batch %s does not answer (%s): %s", *told)
            return After("later", progress, FAILED_SECONDS)
        log.warning("batch %s is run here, its provider refuses it (%s): %s", *told)
        return HERE

    # -- beginning ------------------------------------------------------------------------------------------------

    async def _found(self, row: BatchRow, progress: Progress, target: Target) -> Progress:
        """With the batch that somebody has made there who could not write it down any more."""
        told = await Remote(target).find(row.id)
        return progress if told is None else msgspec.structs.replace(progress, batch=told.id)

    async def _begin(self, job: _Job, target: Target) -> After:
        row, doc, progress = job.row, job.doc, job.progress
        if row.is_paused:
            return After("later", msgspec.structs.replace(progress, since=self._till.now()), POLL_SECONDS)
        caller = await self._caller(job, target)
        if caller is None:
            return HERE
        remote = Remote(target)
        if not progress.file:
            source = await self._files.find(EVERYBODY, doc.input_file_id)
            made = await remote.upload(self._lines(row, target, source))
            return After("later", self._uploaded(target, caller, made.id), 0.0)
        file = await remote.file(progress.file)
        if file.is_pending and self._may_wait(row, progress):
            return After("later", progress, PENDING_SECONDS)
        told = await remote.make(file.id, doc.endpoint, row.id)
        return After("later", msgspec.structs.replace(progress, batch=told.id), POLL_SECONDS)

    async def _caller(self, job: _Job, target: Target) -> Caller | None:
        """``None``: he is gone, may not, calls something else by that name, or his lines have to be counted."""
        row, doc = job.row, job.doc
        model, group = doc.model or "", target.deployment.model_name
        try:
            caller = await self._callers.find(row.key_id, doc.account, row.owner)
            job.pipeline.check_model(caller, ENDPOINTS[doc.endpoint], model)
        except Overloaded:
            raise
        except GatewayError:
            return None
        may_call_it = may_call(caller, Access.MODELS, doc.endpoint) and caller.alias(model) == model
        is_counted = caller.limits_for(model, group) or caller.budgets_for(model, group)
        return caller if may_call_it and not is_counted else None

    async def _lines(self, row: BatchRow, target: Target, source: FileRow) -> AsyncGenerator[bytes]:
        """Those of the provider's file, some at a time.

        :raises InvalidRequest: there is one that the gateway would have to do something about
        """
        after = 0
        while lines := await self._work.lines(row.id, after=after, limit=PAGE):
            after = lines[-1].number
            for some in _slices(lines):
                texts = await self._files.spans(source, [(line.offset, line.length) for line in some])
                read = zip(some, texts, strict=True)
                yield b"".join(asked(line.number, request_of(text), target.batch_model) for line, text in read)

    def _uploaded(self, target: Target, caller: Caller, file: str) -> Progress:
        return Progress(
            deployment=target.deployment.id,
            place=target.batch_place or "",
            credential=target.credential_digest,
            who=_who(caller),
            file=file,
            since=self._till.now(),
        )

    def _may_wait(self, row: BatchRow, progress: Progress) -> bool:
        """Whether there is time for a provider to begin."""
        return self._till.now() < max(row.in_progress_at or row.created_at, progress.since) + BEGIN_SECONDS

    # -- following ------------------------------------------------------------------------------------------------

    async def _follow(self, job: _Job, target: Target) -> After:
        progress, remote = job.progress, Remote(target)
        told = await remote.batch(progress.batch)
        if told.is_over:
            return await self._fetch(job, target, told)
        if self._is_late(progress):
            return OVER
        if progress.over_since and not progress.is_cancelled:
            await remote.cancel(progress.batch)
            progress = msgspec.structs.replace(progress, is_cancelled=True)
        return After("later", progress, POLL_SECONDS)

    async def _fetch(self, job: _Job, target: Target, told: Told) -> After:
        """Those that it says nothing of are run here, where there is time; usually there are none."""
        row = job.row
        booking = Booking(self._work, self._till, row, job.doc, job.progress, target)
        for file in told.files:
            if not await booking.fill(Remote(target).lines(file), job.is_mine):
                return LOST
        if job.progress.over_since:
            return OVER
        if told.status.lower() != "completed":
            errors = bytes(told.errors)[:MAX_SHOWN].decode("utf-8", "replace")
            log.warning("batch %s is run here, its provider says that it is %s: %s", row.id, told.status, errors)
        return HERE

    def _is_late(self, progress: Progress) -> bool:
        """Whether no more was to be done for too long."""
        return bool(progress.over_since) and progress.over_since <= self._till.now() - GRACE_SECONDS

    async def _leave(self, row: BatchRow, doc: BatchDoc, after: After) -> None:
        if after.kind == "later":
            doc = msgspec.structs.replace(doc, provider=msgspec.to_builtins(after.progress))
            await self._work.leave(row.lease, after.seconds, plain(doc))
        elif after.kind == "here":
            await self._work.leave(row.lease, executor="lines")
        elif after.kind == "over":
            await self._work.close(row.lease, ending(row))
            await self._work.leave(row.lease)


def _target(pipeline: Pipeline, doc: BatchDoc, progress: Progress) -> Target | None:
    if progress.place:
        return pipeline.batch_targets.find(progress.place, progress.deployment, progress.credential)
    return pipeline.batch_targets.choose(doc.model or "", ENDPOINTS[doc.endpoint])


def _who(caller: Caller) -> Who:
    tags = () if caller.key is None else caller.key.tags
    return Who(caller.account, caller.team_id or "", caller.user_id or "", caller.organization_id or "", tags)


def _slices(lines: Sequence[LineRow]) -> Iterator[list[LineRow]]:
    """All of them, one by one where they are large."""
    some: list[LineRow] = []
    size = 0
    for line in lines:
        if some and size + line.length > SLICE_BYTES:
            yield some
            some, size = [], 0
        some.append(line)
        size += line.length
    yield some
