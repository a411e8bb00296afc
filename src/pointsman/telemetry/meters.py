"""Plain numbers that are added to while serving, one set per combination of labels."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Container
from decimal import Decimal
from typing import Final

from pointsman.wire.usage import Usage

SECONDS: Final = (
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0,
)  # fmt: skip
OVERHEAD_SECONDS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 1.0)

CLIENT_LEFT: Final = 499
"""Status of a request whose client did not wait: it says nothing about the deployment."""
HEALTHY: Final = 0
FAILED_LAST: Final = 1
RESTING: Final = 2


class Histogram:
    """Counts of observed values by bucket."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count ``value``; a bucket's bound belongs to it."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    @property
    def is_empty(self) -> bool:
        """Whether nothing was observed yet."""
        return not any(self.counts)

    def buckets(self) -> list[tuple[str, float]]:
        """Give the cumulated counts by upper bound, as the exposition wants them."""
        seen = 0
        buckets = []
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            seen += count
            buckets.append((bound, float(seen)))
        return buckets


class RoutingMeter:
    """Decisions of one routed model."""

    __slots__ = ("_decisions", "model", "predicted_usd", "seconds")

    def __init__(self, model: str) -> None:
        self.model = model
        """Its public name."""
        self._decisions: dict[tuple[str, str], int] = {}
        self.seconds = Histogram(OVERHEAD_SECONDS)
        self.predicted_usd = 0.0

    def observe(self, chosen: str, reason: str, seconds: float, predicted_usd: float) -> None:
        """Count a decision for the candidate ``chosen``, which took so long."""
        key = (chosen, reason)
        self._decisions[key] = self._decisions.get(key, 0) + 1
        self.seconds.observe(seconds)
        if predicted_usd > 0:
            self.predicted_usd += predicted_usd

    @property
    def decisions(self) -> dict[tuple[str, str], int]:
        """By candidate and reason."""
        return dict(self._decisions)

    def keep_only(self, models: Container[str]) -> None:
        """Forget the decisions for candidates that are no more."""
        self._decisions = {key: count for key, count in self._decisions.items() if key[0] in models}

    def chosen(self, model: str) -> int:
        """Decisions for one candidate."""
        return sum(count for (name, _), count in self.decisions.items() if name == model)

    def counts(self) -> dict[str, int]:
        """Decisions by reason."""
        counts: dict[str, int] = {}
        for (_, reason), count in self.decisions.items():
            counts[reason] = counts.get(reason, 0) + count
        return counts


class RouteMeter:
    """Requests of one route that ended before a deployment was chosen."""

    __slots__ = ("failures", "route", "statuses")

    def __init__(self, route: str) -> None:
        self.route = route
        self.statuses: dict[int, int] = {}
        self.failures: dict[str, int] = {}

    def observe(self, status: int, exception_class: str | None = None) -> None:
        """Count an answer; ``exception_class`` names the error of the tree in ``errors``."""
        self.statuses[status] = self.statuses.get(status, 0) + 1
        if exception_class is not None:
            self.failures[exception_class] = self.failures.get(exception_class, 0) + 1


class DeploymentMeter:
    """Requests for one public model that one deployment served on one route."""

    __slots__ = (
        "api_provider",
        "attempt_failures",
        "cached_tokens",
        "cooldowns",
        "failures",
        "first_token",
        "hedged",
        "hedged_spend_usd",
        "input_tokens",
        "model",
        "model_id",
        "output_tokens",
        "overhead",
        "requested_model",
        "route",
        "spend_usd",
        "state",
        "statuses",
        "successes",
        "total",
        "total_tokens",
        "upstream",
    )

    def __init__(self, requested_model: str, model: str, model_id: str, api_provider: str, route: str) -> None:
        self.requested_model = requested_model
        self.model = model
        self.model_id = model_id
        self.api_provider = api_provider
        self.route = route
        self.statuses: dict[int, int] = {}
        self.failures: dict[str, int] = {}
        self.attempt_failures: dict[str, int] = {}
        self.successes = 0
        self.state = HEALTHY
        self.input_tokens = self.output_tokens = self.total_tokens = self.cached_tokens = 0
        self.spend_usd = 0.0
        self.cooldowns = 0
        self.hedged = 0
        self.hedged_spend_usd = 0.0
        self.total = Histogram(SECONDS)
        self.upstream = Histogram(SECONDS)
        self.first_token = Histogram(SECONDS)
        self.overhead = Histogram(OVERHEAD_SECONDS)

    def observe(
        self,
        status: int,
        total_s: float,
        upstream_s: float,
        ttft_s: float | None,
        overhead_s: float,
        usage: Usage | None = None,
        cost: float | None = None,
        exception_class: str | None = None,
        *,
        is_deployments_fault: bool = True,
    ) -> None:
        """Count a finished request whose last attempt was made here; times in seconds, ``cost`` in US dollars.

        ``exception_class`` names the error, and makes the attempt a failed one if that is the deployment's fault.
        """
        self.statuses[status] = self.statuses.get(status, 0) + 1
        # What Histogram.observe does, spelled out: this runs for every request, and calls are what it would cost.
        total, upstream, overhead = self.total, self.upstream, self.overhead
        total.counts[bisect_left(SECONDS, total_s)] += 1
        total.total += total_s
        upstream.counts[bisect_left(SECONDS, upstream_s)] += 1
        upstream.total += upstream_s
        overhead.counts[bisect_left(OVERHEAD_SECONDS, overhead_s)] += 1
        overhead.total += overhead_s
        if ttft_s is not None:
            self.first_token.observe(ttft_s)
        if exception_class is None:
            if status != CLIENT_LEFT:
                self.successes += 1
                self.state = HEALTHY
        else:
            self.failures[exception_class] = self.failures.get(exception_class, 0) + 1
            if is_deployments_fault:
                self.fail_attempt(exception_class)
        self.charge(usage, cost)

    def observe_ask(
        self,
        upstream_s: float,
        ttft_s: float | None,
        usage: Usage | None,
        cost: float | None,
        exception_class: str | None,
        *,
        is_answered: bool,
        is_deployments_fault: bool = True,
    ) -> None:
        """Count a call that was made on the way to the answer of a request: it says nothing of what clients get."""
        self.upstream.observe(upstream_s)
        if ttft_s is not None:
            self.first_token.observe(ttft_s)
        if exception_class is not None:
            if is_deployments_fault:
                self.fail_attempt(exception_class)
        elif is_answered:
            self.successes += 1
            self.state = HEALTHY
        self.charge(usage, cost)

    def observe_request(self, status: int, total_s: float, exception_class: str | None) -> None:
        """Count the end of a request whose calls were counted one by one."""
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.total.observe(total_s)
        if exception_class is not None:
            self.failures[exception_class] = self.failures.get(exception_class, 0) + 1

    def charge(self, usage: Usage | None, cost: float | Decimal | None) -> None:
        """Count what an attempt has used; ``cost`` in US dollars."""
        if usage is not None:
            self.input_tokens += usage.input_tokens
            self.output_tokens += usage.output_tokens
            self.total_tokens += usage.total_tokens
            self.cached_tokens += usage.cached_input_tokens
        if cost is not None:
            self.spend_usd += float(cost)

    def rest(self) -> None:
        """Count the beginning of a cooldown."""
        self.cooldowns += 1

    def hedge(self, cost: Decimal | None) -> None:
        """Count an attempt that another one has outrun; ``cost`` is what it has cost at least, in US dollars."""
        self.hedged += 1
        if cost is not None:
            self.hedged_spend_usd += float(cost)
            self.spend_usd += float(cost)

    def fail_attempt(self, exception_class: str) -> None:
        """Count an attempt that failed; for one that another follows, call only this."""
        self.attempt_failures[exception_class] = self.attempt_failures.get(exception_class, 0) + 1
        self.state = FAILED_LAST
