"""What one call has used, written down as it is used, and settled when the call has ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from pointsman.access.budgets import Budget
from pointsman.access.estimates import asked_for
from pointsman.access.limits import Grant, Limit
from pointsman.access.tariffs import Tariff
from pointsman.errors import GatewayError
from pointsman.pipeline.attempt import Attempt
from pointsman.pipeline.cache import Recorder
from pointsman.pipeline.call import Call
from pointsman.pipeline.till import Till
from pointsman.pipeline.upload import Upload
from pointsman.providers.base import Price
from pointsman.providers.costs import cost_usd
from pointsman.routing.failures import kind_of, may_have_acted
from pointsman.routing.settings import FailureKind
from pointsman.store.base import SpendEvent, nano_usd
from pointsman.wire import operations as op
from pointsman.wire.usage import Usage, filled

if TYPE_CHECKING:
    import asyncio
    from decimal import Decimal

MAX_CONTENT_BYTES: Final = 256 * 1024
"""Of a prompt, and of an answer, that are written down."""
MAX_NAME: Final = 200
"""Characters of what callers call themselves or a model, that are written down."""
ID_LINE: Final = b"x-request-id: "
OK: Final = HTTPStatus.OK.value
NO_USAGE: Final = Usage()
NO_METADATA: Final[Mapping[str, object]] = {}
UNKNOWN: Final = Price()


class Bill:
    """What one call has used. Times are of the pipeline's clock."""

    __slots__ = (
        "_attempts",
        "_body",
        "_call",
        "_grant",
        "_moneys",
        "_nanos",
        "_others",
        "_recorder",
        "_tariff",
        "_till",
        "_tokens",
        "_upload",
        "is_held",
    )

    def __init__(
        self,
        till: Till,
        tariff: Tariff,
        call: Call,
        moneys: Sequence[tuple[Budget, Limit]],
        grant: Grant,
        body: bytes = b"",
        upload: Upload | None = None,
    ) -> None:
        """``body`` or ``upload`` is what the client asks."""
        self._till = till
        self._tariff = tariff
        self._call = call
        self._moneys = moneys
        self._grant: Grant | None = grant
        """``None``: it was settled."""
        self._attempts = 0
        self._tokens = 0
        self._nanos = 0
        self._others: dict[tuple[str, str], int] | None = None
        """Nano-dollars by the names of the model, of fallbacks."""
        self._body = body
        self._upload = upload
        self._recorder: Recorder | None = None
        self.is_held = False
        """Whether somebody else closes it: the call goes on without its client."""

    def keep(self) -> None:
        """Let the ledger have what is asked and what is answered as well."""
        self._call.downstream = self._recorder = Recorder(self._call.downstream, MAX_CONTENT_BYTES)

    def add(self, attempt: Attempt, now: float) -> None:
        """An attempt has ended that was made for the call, at ``now``."""
        till = self._till
        if not till.ended:
            till.note_down_soon()
        till.ended.append((self, attempt, now, till.now()))

    def close(self, _task: object = None) -> None:
        """The call has ended; again, that means nothing."""
        # They hold each other: for each call that would be work for the collector.
        self._call.bill = None
        till = self._till
        if not till.ended:
            till.note_down_soon()
        till.ended.append((self, None, 0.0, 0.0))

    def hold(self, task: asyncio.Task[object]) -> None:
        """The call goes on in ``task`` although whoever has begun it ends."""
        self.is_held = True
        task.add_done_callback(self.close)

    # -- by the till, at the end of a turn ------------------------------------------------------------------------

    def write(self, attempt: Attempt, now: float, ended_at: float) -> None:
        """Write an attempt down that has ended at ``now``, which is ``ended_at`` in seconds since 1970."""
        usage, cost, error = attempt.usage, attempt.cost, attempt.error
        if (usage is None or cost is None) and (error is None or _was_asked(error)):
            usage, cost = self._completed(attempt, usage)
        self._attempts += 1
        nanos = 0 if cost is None else nano_usd(cost)
        self._nanos += nanos
        if usage is not None:
            self._tokens += usage.total_tokens
        if self._call.used is not None:
            self._call.used.add(usage or NO_USAGE, nanos)
        model = self._tariff.model
        if attempt.plan.fallbacks and self._call.routed is None and not attempt.call.is_ask:
            model = attempt.public_model
            if model != self._tariff.model:
                others, names = self._others or {}, (model, attempt.choice.match.group.name)
                others[names] = others.get(names, 0) + nanos
                self._others = others
        spending = self._till.spending
        if spending is not None:
            ended = "success" if attempt.is_answered else "cancelled"
            status = ended if error is None else kind_of(error).value
            spending.put(self._event(attempt, model, usage or NO_USAGE, nanos, status, now, ended_at))

    def _completed(self, attempt: Attempt, told: Usage | None) -> tuple[Usage | None, Decimal | None]:
        """What was used of an attempt that may have been answered, and what that costs."""
        call, price = attempt.call, attempt.target.price(attempt.captured)
        if call.operation in op.COUNTS or (told is not None and price == UNKNOWN):
            return told, None
        # Nobody has waited for the answer, or not long enough, or it does not tell what is paid for. What was asked
        # was read, as far as anybody knows.
        form = None if self._upload is None else self._upload.form
        asked = asked_for(call.operation, self._body, call.given_bytes, form, call.given_text)
        usage = asked if told is None else filled(told, asked)
        return usage, cost_usd(price, usage)

    def _event(
        self, attempt: Attempt, model: str, usage: Usage, nanos: int, status: str, now: float, ended_at: float
    ) -> SpendEvent:
        tariff, call, deployment = self._tariff, self._call, attempt.target.deployment
        peeked, offset = call.peeked, ended_at - now
        at = attempt.sent + offset
        first = attempt.answered
        if attempt.ttft is not None:
            first = at + attempt.ttft
        elif first is not None:
            first += offset
        # By position: naming what an event is made of takes longer than all the rest.
        return SpendEvent(
            at,
            next(self._till.ids),
            tariff.key_id,
            tariff.team_id,
            tariff.user_id,
            tariff.organization_id,
            model[:MAX_NAME],
            deployment.vendor.name,
            _request_id(call),
            "" if peeked is None or peeked.user is None else peeked.user[:MAX_NAME],
            "",  # session_id
            status,
            1,  # requests
            0 if attempt.error is None else 1,
            usage.input_tokens,
            usage.output_tokens,
            usage.cached_input_tokens,
            nanos,
            attempt.call.operation.name,
            deployment.id,
            attempt.upstream_model[:MAX_NAME],
            self._attempts,
            first,
            ended_at,
            False,  # is_cached
            "",  # address
            tariff.tags,
            NO_METADATA,
            None if self._recorder is None else self._content(self._recorder),
        )

    def _content(self, recorder: Recorder) -> Mapping[str, str]:
        """What was asked, and the answer if it is one and not too long."""
        answer = recorder.answer()
        said = {} if answer is None else {"response": answer.body.decode("utf-8", "replace")}
        return {"request": self._body[:MAX_CONTENT_BYTES].decode("utf-8", "replace")} | said

    def settle(self) -> None:
        """The call has ended: let the counters know what was used; again, that means nothing."""
        grant, self._grant = self._grant, None
        if grant is None:
            return
        call, counters, tokens = self._call, self._till.counters, self._tokens
        if call.asks_cost is not None:
            nanos = nano_usd(call.asks_cost)
            self._nanos += nanos
            if call.used is not None:
                call.used.add(NO_USAGE, nanos)
            self._note("asks", nanos)
        if not self._attempts and call.status != OK:
            counters.release(grant)
            return
        if not self._attempts and call.operation not in op.COUNTS:
            self._note(call.operation.name, 0, is_cached=True)
        actual = dict.fromkeys(self._tariff.token_keys, tokens)
        for budget, limit in self._moneys:
            is_spent = budget.model is None or budget.model in self._tariff.names
            actual[limit.key] = self._nanos if is_spent else 0
        if self._others is not None:
            self._pay_others(self._others, actual)
        counters.settle(grant, actual)
        for budget, limit in self._moneys:
            if budget.soft is not None:
                self._till.warn(budget, limit)

    def _pay_others(self, others: Mapping[tuple[str, str], int], actual: dict[str, int]) -> None:
        """Let a model's own money pay for what it has done as a fallback, and that of the model asked for not."""
        spent = sum(others.values())
        for budget, limit in self._moneys:
            if budget.model in self._tariff.names:
                actual[limit.key] -= spent
        now, caller = self._till.now(), self._tariff.caller
        for names, nanos in others.items():
            budgets = [one for one in caller.budgets_for(*names) if one.model is not None]
            for limit in {budget.meter(now) for budget in budgets}:
                if limit.key in actual:
                    actual[limit.key] += nanos
                else:
                    # Nothing was reserved of it. Where nobody has counted it yet, the ledger tells.
                    self._till.counters.adjust(limit.key, nanos)

    def _note(self, operation: str, nanos: int, *, is_cached: bool = False) -> None:
        """Write down what was no attempt."""
        if self._till.spending is None:
            return
        tariff, now = self._tariff, self._till.now()
        self._till.spending.put(
            SpendEvent(
                id=next(self._till.ids),
                at=now,
                request_id=_request_id(self._call),
                operation=operation,
                key_id=tariff.key_id,
                team_id=tariff.team_id,
                user_id=tariff.user_id,
                organization_id=tariff.organization_id,
                model=tariff.model[:MAX_NAME],
                attempt=self._attempts,
                cost_nano_usd=nanos,
                ended_at=now,
                is_cached=is_cached,
                tags=tariff.tags,
            )
        )


def _was_asked(error: GatewayError) -> bool:
    """Whether the time was over for an answer to what had been sent."""
    return kind_of(error) is FailureKind.TIMEOUT and may_have_acted(error)


def _request_id(call: Call) -> str:
    """What the reply's ``x-request-id`` says."""
    lines = call.identity
    return lines[len(ID_LINE) : lines.find(b"\r\n")].decode("latin-1") if lines.startswith(ID_LINE) else ""
