"""Who runs the lines of a batch: this gateway one by one, or a provider the whole batch, for half the price.

The operator chooses a provider by ``batch: provider`` at a deployment. It is asked for batches all of whose lines are
for the deployment's model and say nothing of how they are to be served, of callers without limits and budgets: what a
provider has begun, nobody can stop in time. Each step is written down before the next, in the batch's document, and it
is begun under a mark by which whoever comes after a crash finds it again, so that it is never begun twice; what that
takes is the business of each :mod:`remote <pointsman.batches.remotes.base>`. What comes of it is booked line by line,
under ids that follow from the lines', so that it is never paid for twice. A provider that refuses a batch is not asked
again: then its lines are run here.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from functools import partial
from http import HTTPStatus
from typing import Final, Literal, NamedTuple

import msgspec

from pointsman.access.caller import Caller
from pointsman.access.policy import Access, may_call
from pointsman.batches.booking import Booking
from pointsman.batches.callers import Callers
from pointsman.batches.files import EVERYBODY, Files
from pointsman.batches.protocol.lines import ENDPOINTS, LineRequest, request_of
from pointsman.batches.protocol.objects import BatchDoc, doc_of, plain
from pointsman.batches.protocol.providers.base import Progress, Who
from pointsman.batches.protocol.states import ending
from pointsman.batches.remotes.base import FAILED_SECONDS, POLL_SECONDS, Order, Remote, State
from pointsman.batches.remotes.table import REMOTES
from pointsman.errors import CallerError, GatewayError, Overloaded, UpstreamError
from pointsman.pipeline.serve import Pipeline
from pointsman.pipeline.targets import Target
from pointsman.pipeline.till import Till
from pointsman.store.work import BatchRow, Executor, LineRow, WorkRecords

BEGIN_SECONDS: Final = 3_600.0
"""After which a batch is run here whose provider has not begun to work on it."""
GRACE_SECONDS: Final = 1800.0
"""That a provider is waited for which was told to stop: it takes up to ten minutes, and may be away."""
PAGE: Final = 256
"""Lines whose places are read at a time."""
SLICE_BYTES: Final = 256 << 10
"""Of lines that are read, and put into the provider's words, before others in the event loop have their turn."""
UNKNOWN: Final = b'{"model":"-","max_tokens":1,"messages":[{"role":"user","content":"-"}]}'
"""A conversation of which nothing is known, but that it was answered."""
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


class _Way(NamedTuple):
    """What leads to the provider of a batch."""

    target: Target
    remote: Remote


class _Job(NamedTuple):
    """A batch that is gone on with."""

    row: BatchRow
    doc: BatchDoc
    order: Order
    progress: Progress
    pipeline: Pipeline
    way: _Way | None
    """``None``: nothing leads to it, or to any."""


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
        way = _way(self._pipeline(), doc, Progress()) if doc.model else None
        # Other headers that are kept say how each line is to be served.
        return "provider" if way is not None and way.remote.takes(doc.endpoint, doc.headers) else "lines"

    async def poll(self, row: BatchRow, is_mine: Callable[[], bool]) -> None:
        """Go on with a batch that is leased, and give the lease up."""
        doc = doc_of(row)
        progress = msgspec.convert(doc.provider, Progress)
        is_over = row.state == "cancelling" or row.expires_at <= self._till.now()
        if is_over and not progress.over_since:
            progress = msgspec.structs.replace(progress, over_since=self._till.now())
        # What leads to a provider stays as long as the pipeline does, also after a reload.
        pipeline = self._pipeline()
        way = _way(pipeline, doc, progress)
        order = self._order(row, doc, progress, is_mine)
        try:
            if way is not None and progress.is_asked:
                progress = await way.remote.find(order, progress)
            after = await self._go_on(_Job(row, doc, order, progress, pipeline, way))
        except CallerError as error:
            log.warning("batch %s is run here: %s", row.id, error)
            after = HERE
        except UpstreamError as error:
            after = self._failed(row, progress, error)
        await self._leave(row, doc, after)

    def _order(self, row: BatchRow, doc: BatchDoc, progress: Progress, is_mine: Callable[[], bool]) -> Order:
        return Order(
            mark=row.id,
            model=doc.model or "",
            endpoint=doc.endpoint,
            headers=doc.headers,
            total=row.total,
            fence=row.fence,
            may_wait=self._may_wait(row, progress),
            now=self._till.now,
            is_mine=is_mine,
            requests=partial(self._requests, row, doc),
            request=partial(self._request, row, doc),
        )

    async def _go_on(self, job: _Job) -> After:
        row, progress = job.row, job.progress
        if job.way is not None and progress.batch:
            return await self._follow(job, job.way)
        is_there = bool(progress.batch) or progress.is_in_doubt(row.fence)
        if progress.over_since and (not is_there or self._is_late(progress)):
            return OVER
        if not is_there:
            return HERE if job.way is None else await self._begin(job, job.way)
        if job.way is None:
            # It may be running, and would be paid for twice.
            log.warning("batch %s is run at %s, which no deployment leads to any more", row.id, progress.place)
        return After("later", progress, FAILED_SECONDS)

    def _failed(self, row: BatchRow, progress: Progress, error: UpstreamError) -> After:
        told = (row.id, error.status, error.operator_detail or error.message)
        if self._is_late(progress):
            return OVER
        # Without a key that holds, nobody can see whether it was begun before.
        is_unseen = progress.is_asked and error.status == HTTPStatus.UNAUTHORIZED
        is_there = progress.batch or progress.is_in_doubt(row.fence) or is_unseen
        if is_there or (error.is_retryable and (progress.file or self._may_wait(row, progress))):
            log.warning("the provider of batch %s does not answer (%s): %s", *told)
            return After("later", progress, FAILED_SECONDS)
        log.warning("batch %s is run here, its provider refuses it (%s): %s", *told)
        return HERE

    # -- beginning ------------------------------------------------------------------------------------------------

    async def _begin(self, job: _Job, way: _Way) -> After:
        row, progress = job.row, job.progress
        if row.is_paused:
            rested = msgspec.structs.replace(progress.unasked(), since=self._till.now())
            return After("later", rested, POLL_SECONDS)
        caller = await self._caller(job, way.target)
        if caller is None:
            return HERE
        step = await way.remote.begin(job.order, progress if progress.place else _bound(way.target, caller, progress))
        if step is None:
            return HERE
        if step.refusal is not None:
            return self._failed(row, step.progress, step.refusal)
        return After("later", step.progress, step.seconds)

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

    async def _requests(self, row: BatchRow, doc: BatchDoc) -> AsyncGenerator[list[tuple[int, LineRequest]]]:
        """All of them, some at a time."""
        source = await self._files.find(EVERYBODY, doc.input_file_id)
        after = 0
        while lines := await self._work.lines(row.id, after=after, limit=PAGE):
            after = lines[-1].number
            for some in _slices(lines):
                texts = await self._files.spans(source, [(line.offset, line.length) for line in some])
                yield [(line.number, request_of(text)) for line, text in zip(some, texts, strict=True)]

    async def _request(self, row: BatchRow, doc: BatchDoc, number: int) -> LineRequest | None:
        found = await self._work.lines(row.id, after=number - 1, limit=1)
        if not found or found[0].number != number:
            return None
        try:
            source = await self._files.find(EVERYBODY, doc.input_file_id)
            [text] = await self._files.spans(source, [(found[0].offset, found[0].length)])
            return request_of(text)
        except CallerError:
            # Whoever has deleted the file meanwhile pays for what was done, and gets it as far as that is possible.
            return LineRequest(found[0].custom_id, doc.endpoint, ENDPOINTS[doc.endpoint], UNKNOWN)

    def _may_wait(self, row: BatchRow, progress: Progress) -> bool:
        """Whether there is time for a provider to begin."""
        return self._till.now() < max(row.in_progress_at or row.created_at, progress.since) + BEGIN_SECONDS

    # -- following ------------------------------------------------------------------------------------------------

    async def _follow(self, job: _Job, way: _Way) -> After:
        progress = job.progress
        state = await way.remote.state(progress.batch)
        if state.is_over:
            return await self._fetch(job, way, state)
        if self._is_late(progress):
            return OVER
        if progress.over_since and not progress.is_cancelled:
            await way.remote.cancel(progress.batch)
            progress = msgspec.structs.replace(progress, is_cancelled=True)
        return After("later", progress, POLL_SECONDS)

    async def _fetch(self, job: _Job, way: _Way, state: State) -> After:
        """Those that it says nothing of are run here, where there is time; usually there are none."""
        booking = Booking(self._work, self._till, job.row, job.doc, job.progress, way.target)
        if not await booking.fill(way.remote.results(job.order, state), job.order.is_mine):
            return LOST
        if job.progress.over_since:
            return OVER
        if state.problem:
            log.warning("batch %s is run here, its provider says: %s", job.row.id, state.problem)
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


def _way(pipeline: Pipeline, doc: BatchDoc, progress: Progress) -> _Way | None:
    targets = pipeline.batch_targets
    if progress.place:
        target = targets.find(progress.place, progress.deployment, progress.credential)
    else:
        target = targets.choose(doc.model or "", ENDPOINTS[doc.endpoint])
    return None if target is None else _Way(target, REMOTES[target.batch_api](target))


def _bound(target: Target, caller: Caller, progress: Progress) -> Progress:
    """From now on it goes to that place, for that caller."""
    return msgspec.structs.replace(
        progress,
        deployment=target.deployment.id,
        place=target.batch_place or "",
        credential=target.credential_digest,
        who=_who(caller),
    )


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
