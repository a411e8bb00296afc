"""What a call may use, is reserved before it is planned; what it has used, is settled when it has ended.

Theory of operation: a caller's limits and budgets for one model are compiled once into a :class:`Tariff`. Each call
brings all its charges to the counters at once, which is one look into memory in the usual case, and gets a
:class:`Bill`. Every attempt that is made for the call, and every question that a procedure asks on the way, is written
on it, and becomes an event in the ledger. When the call has ended the bill is closed: the counters hear what was really
used, in the very numbers that the ledger has. A call that goes on without its client takes its bill along.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from pointsman.access.budgets import Budget
from pointsman.access.caller import MASTER, Caller
from pointsman.access.estimates import FREE, Estimate, Form, Rates, estimate, rates_of
from pointsman.access.limits import Grant, Limit, Refusal
from pointsman.access.tariffs import Tariff, refused
from pointsman.errors import GatewayError, InvalidRequest, ModelNotFound
from pointsman.pipeline.bill import MAX_NAME, Bill
from pointsman.pipeline.call import Call
from pointsman.pipeline.targets import Target
from pointsman.pipeline.till import Till
from pointsman.pipeline.upload import Upload
from pointsman.providers.base import Price
from pointsman.routing.groups import Groups, Match
from pointsman.routing.plan import NO_WISH, Wish
from pointsman.wire import operations as op
from pointsman.wire.operations import Operation
from pointsman.wire.peek import insert_fields
from pointsman.wire.wishes import Fallback

if TYPE_CHECKING:
    from pointsman.pipeline.routed import RoutedModel

MAX_TARIFFS: Final = 10_000
UNKNOWN: Final = Price()
ZERO: Final = Decimal(0)
NOTHING: Final = Price(
    input_usd_per_token=ZERO,
    output_usd_per_token=ZERO,
    usd_per_query=ZERO,
    usd_per_image=ZERO,
    usd_per_second=ZERO,
    usd_per_character=ZERO,
)
"""Of what is answered by the gateway itself."""


class Metering:
    """Meters the calls of one snapshot."""

    def __init__(
        self, till: Till, groups: Groups, targets: Mapping[str, Target], routed: Mapping[str, RoutedModel]
    ) -> None:
        """``targets`` are by deployment id, and ``routed`` by public name, also those that are put there later."""
        self._till = till
        self._groups = groups
        self._targets = targets
        self._routed = routed
        self._tariffs: dict[tuple[str, str], Tariff] = {}
        self._rates: dict[str, Rates] = {}

    def minds(self, caller: Caller | None) -> bool:
        """Whether what ``caller`` uses is written down: of the master without a budget only where there is a ledger."""
        return caller is not None and (caller is not MASTER or self._till.spending is not None)

    async def serve(
        self,
        call: Call,
        match: Match,
        model: str | None,
        go_on: Callable[[], Awaitable[None]],
        *,
        body: bytes = b"",
        upload: Upload | None = None,
        wish: Wish = NO_WISH,
    ) -> None:
        """Let a call go on if its caller has enough left for it, and settle when it has ended.

        :raises RateLimited: too much was used already
        :raises BudgetExceeded: too much was spent already
        :raises Overloaded: what was spent is not known
        :raises GatewayError: what ``go_on`` raises, with what is left in its headers
        """
        till = self._till
        tariff = self._tariff_for(call.caller, match, model)
        if wish is not NO_WISH:
            tariff = self._with_named(tariff, wish)
        moneys: Sequence[tuple[Budget, Limit]] = ()
        form: Form | None = None
        charges = tariff.charges
        if (tariff.tokens or tariff.budgets) and call.operation not in op.COUNTS:
            if upload is not None:
                form = await _measured(upload, call.operation)
            guess = self._guess(call.operation, tariff, wish, body, call.given_bytes, form)
            moneys = tariff.moneys(till.now())
            charges = tariff.charges_for(guess, moneys)
        grant = till.counters.reserve_now(charges) if charges else Grant(charges, 0.0, is_open=False)
        if grant is None:
            grant = await till.reserve(charges, {limit.key: budget for budget, limit in moneys})
        if isinstance(grant, Refusal) and till.note_down():
            # Calls have ended in this very turn.
            grant = await till.reserve(charges, {limit.key: budget for budget, limit in moneys})
        if isinstance(grant, Refusal):
            error = refused(grant, charges, moneys, till.now())
            error.headers += tariff.headers(till.counters.remaining, None)
            raise error
        bill = call.bill = Bill(till, tariff, call, moneys, grant, body, upload)
        if till.keeps_content:
            bill.keep()
        call.identity += tariff.granted_lines(till.counters.remaining, grant)
        try:
            await go_on()
        except GatewayError as error:
            error.headers += tariff.headers(till.counters.remaining, grant)
            raise
        finally:
            if not bill.is_held:
                bill.close()

    def _guess(
        self, operation: Operation, tariff: Tariff, wish: Wish, body: bytes, given: int, form: Form | None
    ) -> Estimate:
        """What a call may use at most, whoever answers it.

        :raises InvalidRequest: there is a budget, and nobody can tell
        """
        rates, is_paid = tariff.rates, bool(tariff.budgets)
        others: list[bytes] = []
        if wish is not NO_WISH:
            for one in _named(wish):
                rates |= self._rates_of(one.model)
                if one.overrides and body:
                    others.append(insert_fields(body, {}, one.overrides))
        guess = estimate(rates, operation, body, given, form, is_paid=is_paid)
        for other in others:
            guess |= estimate(rates, operation, other, len(other), form, is_paid=is_paid)
        if guess.is_endless or guess.extra is not None or operation.mode not in rates.modes:
            self._check_cost(operation, tariff, wish, guess)
        return guess

    def _check_cost(self, operation: Operation, tariff: Tariff, wish: Wish, guess: Estimate) -> None:
        """:raises InvalidRequest: there is a budget, and nobody can tell what a request costs at most"""
        if all(budget.hard is None for budget in tariff.budgets):
            return
        asked = (tariff.model, *(one.model for one in _named(wish)))
        reached = dict.fromkeys(name for model in asked for name in self._reached(model))
        unsold = (name for name in reached if operation.mode not in self._own(name).modes)
        raise _unknown_cost(tariff.model, next(unsold, tariff.model), guess)

    # -- what it is measured by -----------------------------------------------------------------------------------

    def _tariff_for(self, caller: Caller | None, match: Match, model: str | None) -> Tariff:
        assert caller is not None
        asked = model or match.group.name
        tariff = self._tariffs.get((caller.name, asked))
        if len(asked) > MAX_NAME:
            # Behind a wildcard names may be of any length; those are not kept.
            return Tariff(caller, asked, match.group.name, self._reckon(asked))
        if tariff is not None and tariff.caller is caller:
            return tariff
        while len(self._tariffs) >= MAX_TARIFFS:
            del self._tariffs[next(iter(self._tariffs))]
        tariff = self._tariffs[caller.name, asked] = Tariff(caller, asked, match.group.name, self._rates_of(asked))
        return tariff

    def _with_named(self, tariff: Tariff, wish: Wish) -> Tariff:
        """With what there is for the models that the caller goes on with: else that would be a way around it."""
        caller = tariff.caller
        if not (caller.model_limits or caller.model_budgets):
            return tariff
        others: list[str] = []
        for one in _named(wish):
            others.append(one.model)
            with suppress(ModelNotFound):
                others.append(self._groups.match(one.model).group.name)
        return Tariff(caller, *tariff.names, tariff.rates, others) if others else tariff

    def _rates_of(self, model: str) -> Rates:
        """The dearest of all that a request to ``model`` may come to."""
        known = self._rates.get(model)
        if known is None:
            while len(self._rates) >= MAX_TARIFFS:
                del self._rates[next(iter(self._rates))]
            known = self._rates[model] = self._reckon(model)
        return known

    def _reckon(self, model: str) -> Rates:
        rates = FREE
        for name in self._reached(model):
            rates |= self._own(name)
        return rates

    def _reached(self, model: str) -> Iterator[str]:
        """All that a request to ``model`` may come to."""
        groups = self._groups
        # Fallbacks have fallbacks.
        names, seen = [model], set[str]()
        while names:
            name = names.pop()
            if name in seen:
                continue
            seen.add(name)
            yield name
            try:
                group = groups.match(name).group.name
            except ModelNotFound:
                continue
            routed = self._routed.get(group)
            if routed is not None:
                names += routed.lineup.places
                names += () if routed.procedure is None else routed.procedure.names
            for find in (groups.fallbacks, groups.context_window_fallbacks, groups.content_policy_fallbacks):
                names += find(name, group)

    def _own(self, model: str) -> Rates:
        """Of its own deployments."""
        try:
            match = self._groups.match(model)
        except ModelNotFound:
            return FREE
        rates = FREE
        for one in match.group.deployments:
            target = self._targets[one.id]
            price = target.price(match.captured)
            if price == UNKNOWN and (one.mock_response is not None or one.base_url.startswith("demo:")):
                price = NOTHING
            window = target.window(match.captured)
            rates |= rates_of(price, one.max_output_tokens, one.defaults, one.overrides, window)
        return rates


def _named(wish: Wish) -> Iterator[Fallback]:
    """What the caller goes on with."""
    for named in (wish.fallbacks, wish.context_window_fallbacks, wish.content_policy_fallbacks):
        yield from named or ()


async def _measured(upload: Upload, operation: Operation) -> Form:
    """How much a form asks: of pictures all of it tells, of sounds its length."""
    if operation.mode == "image_generation" or upload.size is None:
        return await upload.measure()
    return Form(upload.size)


def _unknown_cost(asked: str, model: str, guess: Estimate) -> InvalidRequest:
    what = (
        "what it costs. Let the operator give a price (input_cost_per_token and output_cost_per_token; 0: nothing), or "
        "take it out of the fallbacks and candidates"
    )
    if guess.is_endless:
        what = (
            "how long that document, file or conversation is, which is not in the request. Send text or pictures, or "
            "let the operator give its max_input_tokens (model_info)"
        )
    elif guess.extra is not None:
        what = f"what it costs with this {guess.extra!r}. Leave that out"
    where = "" if model == asked else f", which a request to {asked[:MAX_NAME]!r} may come to"
    return InvalidRequest(
        f"This key has a budget, and of the model {model[:MAX_NAME]!r}{where}, nobody knows {what}",
        code="unknown_cost",
        param=guess.extra or "model",
    )
