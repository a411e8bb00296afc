"""What a caller's requests for one model are charged with: compiled once, and asked for each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from math import inf
from operator import itemgetter
from typing import Any, Final

from pointsman.access.budgets import NANOS, Budget, dollars
from pointsman.access.caller import Caller
from pointsman.access.estimates import Estimate, Rates
from pointsman.access.limits import Charge, Grant, Limit, Refusal
from pointsman.errors import BudgetExceeded, GatewayError, RateLimited

Remaining = Callable[[Limit], int | None]
"""What is left of a limit, as far as that is known."""
Moneys = Sequence[tuple[Budget, Limit]]
"""Budgets, and what counts them at the moment."""

WORDS: Final = {
    "rpm": ("requests per minute", "rpm_limit"),
    "tpm": ("tokens per minute", "tpm_limit"),
    "tpd": ("tokens per day", "tpd_limit"),
    "slots": ("requests at a time", "max_parallel_requests"),
}
"""What a limit is called, and what sets it, by how its key begins."""
SPEND: Final = b"x-litellm-key-spend: %d.%09d\r\n"
SLOT_SECONDS: Final = 1.0
"""After which somebody may have left."""


class Tariff:
    """The charges of one caller for one model."""

    __slots__ = (
        "_key_money",
        "_pick",
        "_plain",
        "_shown",
        "_template",
        "_usual",
        "budgets",
        "caller",
        "charges",
        "key_id",
        "model",
        "names",
        "organization_id",
        "rates",
        "tags",
        "team_id",
        "token_keys",
        "tokens",
        "user_id",
    )

    def __init__(self, caller: Caller, model: str, group: str, rates: Rates, others: Sequence[str] = ()) -> None:
        """``model`` is what was asked for, ``group`` the configured name or pattern that answers to it.

        ``others`` are names of what the caller goes on with where that fails.
        """
        limits = caller.limits_for(model, group, *others)
        self.caller = caller
        self.model = model
        self.names = (model, group)
        self.rates = rates
        self.tokens = tuple(_distinct(limits.tokens))
        self.token_keys = tuple(limit.key for limit in self.tokens)
        self.budgets = caller.budgets_for(model, group, *others)
        requests = tuple(_distinct(limits.requests))
        self.charges: Sequence[Charge] = [Charge(limit, 1) for limit in (*requests, *_distinct(limits.slots))]
        """Of each request, whatever it asks."""
        self.key_id = caller.account
        self.team_id = caller.team_id or ""
        self.user_id = caller.user_id or ""
        self.organization_id = caller.organization_id or ""
        self.tags = () if caller.key is None else caller.key.tags
        self._shown = tuple(
            tuple(_Shown(what, limit) for limit in limits)
            for what, limits in ((b"requests", requests), (b"tokens", self.tokens))
            if limits
        )
        self._plain = _plain_lines(caller)
        self._key_money = next((one for one in self.budgets if _is_own(one, caller)), None)
        # Where each kind has one limit and one budget pays, which is the usual case, only numbers are put into what is
        # written already: what is left of the charges in these places.
        places = [place for place, one in ((0, requests), (len(self.charges), self.tokens)) if one]
        self._pick: Callable[[Sequence[int]], Any] = itemgetter(*places) if places else _nothing
        is_usual = all(len(kind) == 1 for kind in self._shown) and len(self.budgets) <= 1
        self._usual = len(self.charges) + len(self.tokens) + len(self.budgets) if is_usual else -1
        """How many charges there are then; where there are others, each limit is looked at."""
        self._template = self._plain.replace(b"%", b"%%") + b"".join(kind[0].known for kind in self._shown)

    def moneys(self, now: float) -> Moneys:
        """The budgets that pay, at ``now`` in seconds since the epoch; of those with one counter, the smallest."""
        budgets = self.budgets
        if len(budgets) == 1:
            return ((budgets[0], budgets[0].meter(now)),)
        found: dict[str, tuple[Budget, Limit]] = {}
        for budget in budgets:
            limit = budget.meter(now)
            if limit.key not in found or limit.ceiling < found[limit.key][1].ceiling:
                found[limit.key] = budget, limit
        return tuple(found.values())

    def charges_for(self, estimate: Estimate, moneys: Moneys) -> Sequence[Charge]:
        """Of a request that may use so much; no more tokens than a limit ever lets through at a time."""
        charges = [*self.charges]
        for limit in self.tokens:
            most = limit.ceiling
            charges.append(Charge(limit, estimate.tokens if estimate.tokens <= most else most or 1))
        for _, limit in moneys:
            charges.append(Charge(limit, estimate.nanos or 1))
        return charges

    def lines(self, remaining: Remaining, grant: Grant | None) -> bytes:
        """Reply header lines about what is left; ``grant`` is what this request holds of it."""
        lines = self._plain
        for kind in self._shown:
            shown, left = _tightest(kind, remaining)
            lines += shown.plain if left is None else shown.known % left
        budget = self._key_money
        if budget is not None and grant is not None and (limit := budget.counter) is not None:
            left = remaining(limit)
            if left is not None:
                # What this request holds is not spent yet.
                held = sum(charge.amount for charge in grant.charges if charge.limit.key == limit.key)
                spent = limit.ceiling - left - held
                lines += SPEND % divmod(max(0, spent), NANOS)
        return lines

    def granted_lines(self, remaining: Remaining, grant: Grant) -> bytes:
        """The same, for a request that was let in just now."""
        left = grant.left
        if len(left) != self._usual:
            return self.lines(remaining, grant)
        lines: bytes = self._template % self._pick(left)
        if self._key_money is None:
            return lines
        charge = grant.charges[-1]
        spent = charge.limit.ceiling - left[-1] - charge.amount
        return lines + SPEND % divmod(max(0, spent), NANOS)

    def headers(self, remaining: Remaining, grant: Grant | None) -> tuple[tuple[str, str], ...]:
        """The same for an error."""
        lines = self.lines(remaining, grant).decode("latin-1").splitlines()
        return tuple((name, value) for name, _, value in (line.partition(": ") for line in lines))


def refused(refusal: Refusal, charges: Sequence[Charge], moneys: Moneys, now: float) -> GatewayError:
    """What the caller is told who has too little left, at ``now`` in seconds since the epoch."""
    limit = refusal.limit
    if limit.kind == "money":
        budget = next(budget for budget, one in moneys if one.key == limit.key)
        wanted = next(charge.amount for charge in charges if charge.limit.key == limit.key)
        return _over_budget(budget, refusal, wanted, now)
    kind, holder, *_ = limit.key.split(":")
    what, param = WORDS[kind]
    retry_after: float | None = SLOT_SECONDS if limit.kind == "slots" else refusal.retry_after or limit.window
    if not limit.ceiling:
        # It will not be more at any time.
        retry_after = None
    return RateLimited(
        f"Rate limit reached: this {holder} may have {limit.ceiling} {what}, of which {refusal.remaining} are left",
        param=param,
        retry_after=retry_after,
    )


def _over_budget(budget: Budget, refusal: Refusal, wanted: int, now: float) -> BudgetExceeded:
    ceiling, ends = refusal.limit.ceiling, budget.window(now).ends
    spent = f"Current cost: {_dollars(ceiling - refusal.remaining)}, Max budget: {_dollars(ceiling)}"
    message = f"Budget has been exceeded! {budget.kind.capitalize()}: {spent}"
    if refusal.remaining > 0:
        message = (
            f"Budget of this {budget.kind} is too small for this request, which may cost {_dollars(wanted)}: {spent}. "
            "A smaller max_tokens may do"
        )
    is_for_good = ends == inf or wanted > ceiling
    return BudgetExceeded(message, param="max_budget", retry_after=None if is_for_good else max(1.0, ends - now))


class _Shown:
    """A limit in reply headers."""

    __slots__ = ("known", "limit", "plain")

    def __init__(self, what: bytes, limit: Limit) -> None:
        self.limit = limit
        # What a request takes of a rate comes back when it is a window old: by then all of it has.
        self.plain = b"x-ratelimit-limit-%b: %d\r\nx-ratelimit-reset-%b: %b\r\n" % (
            *(what, limit.ceiling),
            *(what, _duration(limit.window)),
        )
        self.known = self.plain.replace(b"%", b"%%") + b"x-ratelimit-remaining-" + what + b": %d\r\n"


def _tightest(kind: Sequence[_Shown], remaining: Remaining) -> tuple[_Shown, int | None]:
    """Of several limits the one that has least left, as far as that is known."""
    known = [(left, place) for place, one in enumerate(kind) if (left := remaining(one.limit)) is not None]
    if not known:
        return kind[0], None
    left, place = min(known)
    return kind[place], left


def _plain_lines(caller: Caller) -> bytes:
    key = caller.key
    if key is None:
        return b""
    shown = (
        ("max-budget", None if key.max_budget is None else format(key.max_budget, "f")),
        ("tpm-limit", key.tpm_limit),
        ("rpm-limit", key.rpm_limit),
    )
    return b"".join(f"x-litellm-key-{name}: {value}\r\n".encode() for name, value in shown if value is not None)


def _nothing(_left: Sequence[int]) -> tuple[Any, ...]:
    return ()


def _is_own(budget: Budget, caller: Caller) -> bool:
    """Whether it is the one of the key itself, for all models."""
    return budget.kind == "key" and budget.id == caller.account and budget.model is None


def _distinct(limits: Iterable[Limit]) -> Iterator[Limit]:
    """Of those with one counter the smallest."""
    found: dict[str, Limit] = {}
    for limit in limits:
        if limit.key not in found or limit.ceiling < found[limit.key].ceiling:
            found[limit.key] = limit
    return iter(found.values())


def _duration(seconds: float) -> bytes:
    """As OpenAI writes it: ``6m0s``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{rest}s" if not (hours or minutes) else f"{minutes}m{rest}s"
    return (f"{hours}h{text}" if hours else text).encode()


def _dollars(nanos: int) -> str:
    return format(dollars(nanos).normalize(), "f")
