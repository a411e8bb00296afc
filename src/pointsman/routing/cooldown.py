"""When something that fails is left alone, and how it comes back.

States of a :class:`Health`::

    HEALTHY ──(fails often enough)──▶ RESTING ──(rest is over)──▶ one probe at a time ──(two succeed)──▶ HEALTHY
                                         ▲                                │                     with a growing share
                                         └──(it fails: twice as long)─────┘

A deployment has one, and so has each credential, since a refused key is refused for every model. Nobody is forbidden
to call what rests: when nothing else is left the plan does, and the outcome counts as that of a probe.
"""

from __future__ import annotations

import msgspec

from pointsman.routing.settings import FailureKind

FAILURES_IN_A_ROW = 5
SAMPLE = 20
SAMPLE_SECONDS = 10.0
FAILED_SHARE = 0.5
MINUTE = 60.0
LONGEST_REST = 300.0
PROBES = 2
RAMP_SECONDS = 10.0
RAMP_FROM = 0.1
JITTER = 0.1

HARMLESS = frozenset({FailureKind.BAD_REQUEST, FailureKind.CONTEXT_WINDOW, FailureKind.CONTENT_POLICY})
"""The request is at fault: whoever refused it is well."""
AT_ONCE = frozenset({FailureKind.AUTHENTICATION, FailureKind.NOT_FOUND, FailureKind.RATE_LIMIT})
"""More of the same would be refused as well."""


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator has set about resting; see :class:`~pointsman.routing.settings.RoutingSettings`."""

    is_on: bool = True
    rest: float = 5.0
    allowed_fails: int | None = None
    allowed_fails_policy: dict[FailureKind, int] = {}


class Health:
    """Whether one deployment or credential is fit to be called. Times are of one clock, in seconds."""

    __slots__ = (
        "_fails",
        "_in_a_row",
        "_is_probed",
        "_minute",
        "_minute_began",
        "_probes",
        "_ramp_began",
        "_rested",
        "_rests",
        "_sample_began",
        "_total",
        "is_calm",
        "is_clean",
        "is_resting",
        "rests_total",
        "rules",
        "until",
    )

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        """Can be changed: what has failed by now is judged by them with the next failure."""
        self.is_resting = False
        self.until = 0.0
        """When the rest is over and a probe is due."""
        self.rests_total = 0
        self._rested = 0.0
        self._rests = 0
        self._is_probed = False
        self._probes = 0
        self._in_a_row = 0
        self._sample_began = self._minute_began = float("-inf")
        self._total = self._fails = 0
        self._minute: dict[FailureKind, int] = {}
        self._ramp_began: float | None = None
        self.is_calm = True
        """Whether nothing speaks against it: it neither rests nor ramps, and its last call did not fail."""
        self.is_clean = True
        """Whether moreover no failure is remembered, so that a success is no news."""

    @property
    def is_sound(self) -> bool:
        """Whether it does not rest and its last call did not fail."""
        return not self.is_resting and not self._in_a_row

    def admits(self, now: float) -> bool:
        """Whether it may be called: it does not rest, or it is time for a probe."""
        return not self.is_resting or (now >= self.until and not self._is_probed)

    def share(self, now: float) -> float:
        """How much of its usual traffic it should get, up to 1; little at first after a rest."""
        if self._ramp_began is None:
            return 1.0
        done = (now - self._ramp_began) / RAMP_SECONDS
        if done >= 1:
            self._ramp_began = None
            self._look()
            return 1.0
        return RAMP_FROM + (1 - RAMP_FROM) * done

    def enter(self, now: float) -> None:
        """A call begins."""
        if self.is_resting and now >= self.until:
            self._is_probed = True

    def leave(self, began: float) -> None:
        """A call that began then has ended without a verdict: its client left, or another call was quicker."""
        if began >= self.until:
            self._is_probed = False

    def succeed(self, began: float, now: float) -> None:
        """A call that began at ``began`` was answered."""
        if self._fails:
            self._total += 1
        if self.is_calm:
            return
        self._in_a_row = 0
        if not self.is_resting:
            self._look()
            return
        self.leave(began)
        # An answer to what was asked before the rest says nothing about now.
        if began >= self._rested:
            self._probes += 1
            if self._probes >= PROBES:
                self._recover(now)

    def fail(
        self, kind: FailureKind, began: float, now: float, *, chance: float = 0.5, retry_after: float | None = None
    ) -> bool:
        """A call that began at ``began`` has failed; gives whether a rest begins with that.

        ``chance``, from 0 to 1, spreads the rests of several gateways. ``retry_after`` is what the upstream asked for.
        """
        rules = self.rules
        if kind in HARMLESS and kind not in rules.allowed_fails_policy:
            self.succeed(began, now)
            return False
        self._in_a_row += 1
        self.is_calm = self.is_clean = False
        if not rules.is_on:
            return False
        self._count(kind, now)
        if self.is_resting:
            if began >= self._rested and now >= self.until:
                self._rest(now, retry_after, chance)
            return False
        if not self._has_enough(kind):
            return False
        self._rest(now, retry_after, chance)
        return True

    def _count(self, kind: FailureKind, now: float) -> None:
        if now - self._sample_began > SAMPLE_SECONDS:
            self._sample_began = now
            self._total = self._fails = 0
        self._total += 1
        self._fails += 1
        if now - self._minute_began > MINUTE:
            self._minute_began = now
            self._minute = {}
        self._minute[kind] = self._minute.get(kind, 0) + 1

    def _has_enough(self, kind: FailureKind) -> bool:
        rules = self.rules
        allowed = rules.allowed_fails_policy.get(kind)
        if allowed is not None:
            return self._minute[kind] > allowed
        if kind in AT_ONCE:
            return True
        if rules.allowed_fails is not None:
            return sum(self._minute.values()) > rules.allowed_fails
        return self._in_a_row >= FAILURES_IN_A_ROW or (
            self._total >= SAMPLE and self._fails >= self._total * FAILED_SHARE
        )

    def _rest(self, now: float, asked: float | None, chance: float) -> None:
        rest = self.rules.rest
        own = min(rest * 2.0**self._rests, max(rest, LONGEST_REST)) * (1 + JITTER * (2 * chance - 1))
        self.is_resting = True
        self.rests_total += 1
        self._rested = now
        self._rests = min(self._rests + 1, 32)
        self._probes = 0
        # A probe that is still on its way belongs to the rest before.
        self._is_probed = False
        self.until = now + max(own, min(asked or 0.0, LONGEST_REST))

    def _recover(self, now: float) -> None:
        self.is_resting = False
        self.until = now
        self._rests = 0
        self._total = self._fails = 0
        self._minute = {}
        self._ramp_began = now

    def _look(self) -> None:
        self.is_calm = not self.is_resting and not self._in_a_row and self._ramp_began is None
        self.is_clean = self.is_calm and not self._fails
