"""Statements of the queue that are made once, and conditions that several of them share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import sqlalchemy as sa

from pointsman.store.schema import COUNTS, batch_lines, batches
from pointsman.store.work import GRACE_SECONDS, PAGE_BYTES, BatchLease, LineLease

_b: Final = batches.c
_l: Final = batch_lines.c
NOW: Final = sa.bindparam("now", type_=sa.Double)
SURE: Final = sa.bindparam("sure", type_=sa.Double)
CLEAR_BYTES: Final = 16 << 20
FRESH: Final = -1e9
"""From where on lines that nobody has begun are ready, by their numbers; all others since 0 or later."""
AGAIN: Final = 4
"""Of so many lines one is claimed that was given back or lost, so that neither these nor the others wait for ever."""
FAR_SECONDS: Final = 900.0
"""Longer than a lease; what rests for longer than that may well be tried before."""

SUMMED: Final = (*COUNTS[2:], "cost_nano_usd")
"""Numbers of a result that are added to those of its batch."""
NEW: Final[dict[str, Any]] = {
    "executor": "lines",
    "state": "validating",
    "ending": "",
    "is_paused": False,
    **dict.fromkeys(("total", *COUNTS, "cost_nano_usd", "fence"), 0),
    "holder": "",
}
NEW_LINE: Final[dict[str, Any]] = {
    **dict.fromkeys(("fence", "lapses", "status"), 0),
    "holder": "",
    "is_failed": False,
    "request_id": "",
}

IS_OPEN: Final = _b.ready_at.is_not(None)
"""It has not ended."""
IS_RUN: Final = sa.and_(_b.ending == "", _b.state.in_(("in_progress", "cancelling")))
"""Its lines may change."""
HAS_LINES: Final = sa.exists().where(_l.batch == _b.id)
_IS_OVER: Final = sa.or_(_b.state == "cancelling", _b.expires_at <= NOW)
_IS_LATE: Final = sa.or_(_b.cancelling_at <= NOW - GRACE_SECONDS, _b.expires_at <= NOW - GRACE_SECONDS)
_IS_WORKED_ON: Final = sa.exists().where(_l.batch == _b.id, _l.ready_at > NOW, _l.holder != "")
_IS_READY: Final = sa.and_(_l.ready_at <= NOW, sa.or_(_l.holder == "", _l.ready_at <= SURE))
"""Nobody has the line, or its lease is over."""


def is_held(lease: BatchLease) -> tuple[Any, ...]:
    """Whoever was given this lease still has it."""
    return _b.id == lease.batch, _b.fence == lease.fence, _b.holder != "", IS_OPEN


def let_go(ready_at: float | None) -> dict[str, Any]:
    """Of a row that nobody has from now on, and that anybody can take then; ``None``: that nobody ever will."""
    return {"holder": "", "ready_at": ready_at}


def closed(ending: str, now: float) -> dict[str, Any]:
    """Of a batch whose lines do not change any more; what has an ending keeps it."""
    is_running = _b.state == "in_progress"
    return {
        "ending": sa.case((_b.ending == "", ending), else_=_b.ending),
        "state": sa.case((is_running, "finalizing"), else_=_b.state),
        "finalizing_at": sa.case((is_running, now), else_=_b.finalizing_at),
    }


def numbered(leases: Iterable[LineLease]) -> dict[str, Any]:
    """Parameters for lines of one batch."""
    numbers = [lease.number for lease in leases]
    return {"numbers": numbers, "first": min(numbers, default=0), "last": max(numbers, default=0)}


def _locked(*, is_shared: bool) -> sa.Select[Any]:
    """Batches by their ids, and whether their lines may change."""
    chosen = sa.select(_b.id, IS_RUN.label("is_run")).order_by(_b.id)
    return chosen.with_for_update(read=is_shared, key_share=not is_shared)


_ids: Final = _b.id.in_(sa.bindparam("ids", expanding=True))
ALONE: Final = _locked(is_shared=False).where(_ids)
SHARED: Final = _locked(is_shared=True).where(_ids, IS_RUN)
ALL_SHARED: Final = _locked(is_shared=True).where(IS_OPEN)
FREE: Final = sa.update(batches).where(IS_OPEN).values(holder="", ready_at=NOW)
FREE_LINES: Final = (
    sa.update(batch_lines).where(_l.batch.in_(sa.bindparam("ids", expanding=True))).values(holder="", ready_at=NOW)
)
"""Let anybody take them; whoever says which of them adds that."""

CANCEL: Final = (
    sa.update(batches)
    .where(_b.id == sa.bindparam("b_id"), _b.state.in_(("validating", "in_progress")))
    .values(
        state="cancelling",
        cancelling_at=NOW,
        # Whoever validates it is not to go on.
        fence=_b.fence + sa.case((_b.state == "validating", 1), else_=0),
        holder=sa.case((_b.state == "validating", ""), else_=_b.holder),
        ready_at=sa.case((sa.and_(_b.state != "validating", _b.holder != ""), _b.ready_at), else_=NOW),
    )
)

NEEDY: Final = (
    sa.select(_b.id)
    .where(
        _b.ready_at <= NOW,
        sa.or_(_b.holder == "", _b.ready_at <= SURE),
        sa.or_(
            _b.state == "validating",
            _b.ending != "",
            _b.executor == "provider",
            sa.and_(_IS_OVER, sa.or_(_IS_LATE, ~_IS_WORKED_ON)),
        ),
    )
    .order_by(_b.ending == "", _b.ready_at, _b.id)
    .limit(1)
    .with_for_update(skip_locked=True, key_share=True)
)
"""A batch that needs a step and that nobody does one of; one that is to end before all others."""

# By the index, and not by the key: PostgreSQL would take that as long as it does not know how many lines are done.
_SINCE: Final = sa.select(sa.func.min(_l.ready_at)).where(_l.batch == _b.id, _l.ready_at.is_not(None)).scalar_subquery()
NEXT: Final = (
    sa.select(_b.id)
    .where(
        IS_OPEN,
        _b.id > sa.bindparam("served"),
        _b.state == "in_progress",
        _b.ending == "",
        _b.executor == "lines",
        ~_b.is_paused,
        _b.expires_at > NOW,
        _b.id.not_in(sa.bindparam("without", expanding=True)),
        sa.or_(sa.bindparam("only", type_=sa.Text) == "", _b.id == sa.bindparam("only", type_=sa.Text)),
        _SINCE <= NOW,
        sa.exists().where(_l.batch == _b.id, _IS_READY),
    )
    .order_by(_b.id)
    .limit(1)
    .with_for_update(read=True)
)
"""The next batch, after the one that was ``served``, that has lines which can be run."""

_chosen: Final = (
    sa.select(_l.number)
    .where(_l.batch == sa.bindparam("b_batch"), _l.ready_at >= sa.bindparam("since", type_=sa.Double), _IS_READY)
    .order_by(_l.ready_at, _l.number)
    .limit(sa.bindparam("most", type_=sa.BigInteger))
    .with_for_update(skip_locked=True)
    # Made once: as a part of the other statement it could be asked several times, and give more each time.
    .cte("chosen")
)
CLAIM: Final = (
    sa.update(batch_lines)
    .where(_l.batch == sa.bindparam("b_batch"), _l.number.in_(sa.select(_chosen.c.number)))
    .values(
        fence=_l.fence + 1,
        lapses=_l.lapses + sa.case((_l.holder != "", 1), else_=0),
        holder=sa.bindparam("b_holder"),
        ready_at=sa.bindparam("until"),
    )
    .returning(_l.number, _l.fence, _l.custom_id, _l.offset, _l.length, _l.lapses)
)

# They stand close together. PostgreSQL sees by the range, even if it knows nothing of the table, that they are few.
_numbers: Final = sa.and_(
    _l.number.between(sa.bindparam("first"), sa.bindparam("last")),
    _l.number.in_(sa.bindparam("numbers", expanding=True)),
)
RENEW: Final = (
    sa.update(batch_lines)
    .where(_l.batch == sa.bindparam("b_batch"), _numbers, _l.holder == sa.bindparam("b_holder"))
    .values(ready_at=sa.bindparam("until"))
    .returning(_l.number, _l.fence)
)
THERE: Final = sa.select(_l.number, _l.fence, _l.holder, _l.ready_at).where(
    _l.batch == sa.bindparam("b_batch"), _numbers
)
# By the whole key and nothing of the other index, which PostgreSQL would take as long as it knows nothing of the table.
_place: Final = (
    _l.batch == sa.bindparam("b_batch"),
    _l.number == sa.bindparam("b_number"),
    _l.fence == sa.bindparam("b_fence"),
)
UNCLAIM: Final = (
    sa.update(batch_lines)
    .where(
        _l.batch == sa.bindparam("b_batch"),
        _l.holder == sa.bindparam("b_holder"),
        _l.ready_at == sa.bindparam("until"),
    )
    .values(holder="", ready_at=NOW)
)
"""Lines that were claimed at that time, and not renewed."""
GIVE_BACK: Final = (
    sa.update(batch_lines)
    .where(*_place, _l.holder != "")
    .values(
        holder="",
        ready_at=sa.bindparam("at"),
        lapses=sa.func.coalesce(sa.bindparam("lapses", type_=sa.BigInteger), _l.lapses),
    )
)
FINISH: Final = (
    sa.update(batch_lines)
    .where(*_place)
    .values(
        holder="",
        ready_at=None,
        status=sa.bindparam("b_status"),
        is_failed=sa.bindparam("b_is_failed"),
        request_id=sa.bindparam("b_request_id"),
        body=sa.bindparam("b_body"),
    )
)

_sizes: Final = (
    sa.select(_l.number, sa.func.coalesce(sa.func.length(_l.body), 0).label("size"))
    .where(_l.batch == sa.bindparam("b_batch"), _l.number > sa.bindparam("after"))
    .order_by(_l.number)
    .limit(sa.bindparam("most", type_=sa.BigInteger))
    .subquery()
)
_sums: Final = sa.select(
    _sizes.c.number, (sa.func.sum(_sizes.c.size).over(order_by=_sizes.c.number) - _sizes.c.size).label("before")
).subquery()
PAGE: Final = (
    sa.select(batch_lines)
    .where(
        _l.batch == sa.bindparam("b_batch"),
        _l.number.in_(sa.select(_sums.c.number).where(_sums.c.before < PAGE_BYTES)),
    )
    .order_by(_l.number)
)
"""Lines after a number, as many as may be read at once. Their sizes are known without reading them."""

_is_last: Final = sa.and_(
    _b.state == "in_progress", _b.completed + _b.failed + sa.bindparam("more", type_=sa.BigInteger) >= _b.total
)
COUNT: Final = (
    sa.update(batches)
    .where(_b.id == sa.bindparam("b_id"))
    .values(
        {name: _b[name] + sa.bindparam(f"more_{name}", type_=sa.BigInteger) for name in (*COUNTS, "cost_nano_usd")}
        | {
            "state": sa.case((_is_last, "finalizing"), else_=_b.state),
            "ending": sa.case((_is_last, "completed"), else_=_b.ending),
            "finalizing_at": sa.case((_is_last, NOW), else_=_b.finalizing_at),
            # A provider's is still held by whoever has asked it.
            "ready_at": sa.case((sa.and_(_is_last, _b.holder == ""), NOW), else_=_b.ready_at),
        }
    )
)
"""Count results, and let the files be written after the last one."""

BACKLOG: Final = sa.select(
    sa.func.count(),
    sa.func.sum(sa.case((_b.ending == "", _b.total - _b.completed - _b.failed), else_=0)),
    sa.func.min(_b.created_at),
).where(IS_OPEN)
CLEAR: Final = sa.delete(batch_lines).where(
    _l.batch == sa.bindparam("b_batch"),
    _l.number.in_(
        sa.select(_sums.c.number).where(
            _sums.c.before < CLEAR_BYTES,
            sa.exists().where(_b.id == sa.bindparam("b_batch"), ~IS_OPEN),
        )
    ),
)
"""Lines of a batch that has ended, as many as can be deleted at once: that takes the longer the larger they are."""
ENDED_WITH_LINES: Final = sa.select(_b.id).where(~IS_OPEN, HAS_LINES)
