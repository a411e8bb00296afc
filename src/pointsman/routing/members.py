"""A deployment as routing sees it: with what it is doing now."""

from __future__ import annotations

import msgspec

from pointsman.providers.base import Deployment, KnownModels
from pointsman.routing.concurrency import AdaptiveLimit
from pointsman.routing.cooldown import Health
from pointsman.routing.failures import OF_CREDENTIAL
from pointsman.routing.latency import PeakEwma
from pointsman.routing.settings import FailureKind
from pointsman.routing.windows import Window

MINUTE = 60.0
OUTRUNS_IN_A_ROW = 5
BUSY = frozenset({FailureKind.UNAVAILABLE, FailureKind.TIMEOUT})
"""Failures of an upstream that has too much to do. How long others took says nothing about answers."""
LIFELESS = frozenset({FailureKind.TIMEOUT, FailureKind.BAD_GATEWAY})
"""Failures without an answer."""
SEVERAL_UNANSWERED = 4
SHORTEST_SILENCE = 0.1
SILENT_FACTOR = 4.0
"""Times its usual time that a deployment owes answers before it is taken to be silent."""
SILENT_PAUSE = 1.0
"""Seconds, at least, after which a silent deployment is asked once more."""
SILENT_PAUSE_SHARE = 0.25
"""The same as a part of its silence: the longer that lasts, the fewer callers shall wait for it."""
USUAL_WEIGHT = 1 / 32
"""Of a quicker answer in the time that answers usually take."""


def model_of(deployment: Deployment, known: KnownModels) -> str:
    """Which model it is: deployments of which this is the same give the same answers, whatever each upstream calls it.

    It is what ``model_info.base_model`` says, else what the upstream calls it; without the provider before it where
    the name is one that is publicly known.
    """
    base = deployment.info.get("base_model")
    name = str(base or deployment.upstream_model)
    return name.rpartition("/")[2] if base or name in known.get(deployment.vendor.name, {}) else name


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator's settings make of a member; the deployment itself is another matter."""

    limit: int | None = None
    """Requests at a time, as configured."""
    is_adaptive: bool = False
    """Whether that is found by watching, too."""
    has_rates: bool = False
    """Whether its requests and tokens are counted although it has no limit of them."""
    has_latency: bool = True


class Member:
    """One deployment of a group. Times are of one clock, in seconds."""

    __slots__ = (
        "_has_latency",
        "_has_rates",
        "adaptive",
        "asked",
        "credential",
        "deployment",
        "health",
        "in_flight",
        "is_limited",
        "is_plain",
        "latency",
        "limit",
        "outruns",
        "requests",
        "silent_since",
        "terms",
        "tokens",
        "unanswered",
        "usual",
    )

    def __init__(
        self,
        deployment: Deployment,
        health: Health,
        credential: Health,
        *,
        limit: int | None = None,
        adaptive: AdaptiveLimit | None = None,
        has_rates: bool = False,
        has_latency: bool = True,
    ) -> None:
        self.deployment = deployment
        self.health = health
        self.credential = credential
        """Shared with every deployment that has the same key at the same address."""
        self.limit = limit
        """Requests at a time, as configured."""
        self.adaptive = adaptive
        self.terms = Terms(limit=limit, is_adaptive=adaptive is not None, has_rates=has_rates, has_latency=has_latency)
        self.in_flight = 0
        self.outruns = 0
        """Attempts in a row that were given up without any answer, because another one was quicker."""
        self.unanswered = 0
        """Attempts that have begun since its last sign of life, and go on."""
        self.silent_since = 0.0
        """When the first of these began."""
        self.asked = 0.0
        """When the last attempt began."""
        self.usual = 0.0
        """Seconds within which answers usually begin; 0 before there was one."""
        self.latency = PeakEwma()
        self.requests = Window(MINUTE)
        self.tokens = Window(MINUTE)
        self._has_latency = has_latency
        self._look(has_rates=has_rates)

    def adjust(self, terms: Terms) -> None:
        """Go by other settings from now on; what it is doing, and what is known of it, stays."""
        self.terms = terms
        self.limit = terms.limit
        if terms.is_adaptive != (self.adaptive is not None):
            self.adaptive = AdaptiveLimit() if terms.is_adaptive else None
        self._has_latency = terms.has_latency
        self._look(has_rates=terms.has_rates)

    def _look(self, *, has_rates: bool) -> None:
        self._has_rates = has_rates or bool(self.deployment.rpm or self.deployment.tpm)
        self.is_limited = self.limit is not None or self.adaptive is not None
        """Whether it can have only so many requests at a time."""
        self.is_plain = not self.is_limited and not self._has_rates
        """Whether nothing but its health says if it can be called."""

    @property
    def is_calm(self) -> bool:
        """Whether it can be called without a further look."""
        return self.is_plain and self.health.is_calm and self.credential.is_calm

    @property
    def is_sound(self) -> bool:
        """Whether it is likely to answer: it does not rest and its last call did not fail."""
        return self.health.is_sound and self.credential.is_sound

    @property
    def is_resting(self) -> bool:
        """Whether it or its credential is in cooldown."""
        return self.health.is_resting or self.credential.is_resting

    @property
    def until(self) -> float:
        """When its rest is over."""
        return max(self.health.until, self.credential.until)

    def admits(self, now: float) -> bool:
        """Whether it may be called now."""
        return self.health.admits(now) and self.credential.admits(now)

    def share(self, now: float) -> float:
        """How much of its usual traffic it should get, up to 1."""
        return min(self.health.share(now), self.credential.share(now))

    def is_full(self) -> bool:
        """Whether it has as many requests as it may have at a time."""
        return (self.limit is not None and self.in_flight >= self.limit) or (
            self.adaptive is not None and self.in_flight >= self.adaptive.value
        )

    def is_spent(self, now: float, share: float = 1.0) -> bool:
        """Whether its requests or tokens of the last minute are used up, or that share of them."""
        rpm, tpm = self.deployment.rpm, self.deployment.tpm
        return (rpm is not None and self.requests.total(now) >= share * rpm) or (
            tpm is not None and self.tokens.total(now) >= share * tpm
        )

    def is_silent(self, now: float) -> bool:
        """Whether it was asked several times and has given no sign of life for several times its usual time.

        Now and then it is not, for one request: what is under way may hang for a reason of its own, as on connections
        that are dead.
        """
        if self.unanswered < SEVERAL_UNANSWERED or not self.usual:
            return False
        silence = now - self.silent_since
        return silence > max(SHORTEST_SILENCE, SILENT_FACTOR * self.usual) and (
            now - self.asked < max(SILENT_PAUSE, SILENT_PAUSE_SHARE * silence)
        )

    def enter(self, now: float) -> None:
        """An attempt begins."""
        self.in_flight += 1
        if not self.unanswered:
            self.silent_since = now
        self.unanswered += 1
        self.asked = now
        if self.is_plain and self.health.is_calm and self.credential.is_calm:
            return
        self.health.enter(now)
        self.credential.enter(now)
        if self._has_rates:
            self.requests.add(now)

    def hear(self, latency: float) -> None:
        """An attempt goes on after its first output, which came after ``latency`` seconds."""
        self.unanswered = 0
        # It comes down when the attempt has succeeded.
        self.usual = max(self.usual, latency)

    def succeed(self, began: float, now: float, latency: float | None, tokens: int) -> None:
        """An attempt was answered: the first output came after ``latency`` seconds."""
        if self.adaptive is not None:
            self.adaptive.observe(began, now, self.in_flight)
        self.in_flight -= 1
        self.outruns = self.unanswered = 0
        if not (self.health.is_clean and self.credential.is_clean):
            self.health.succeed(began, now)
            self.credential.succeed(began, now)
        if latency is not None:
            usual = self.usual
            self.usual = latency if latency > usual else usual + (latency - usual) * USUAL_WEIGHT
            if self._has_latency:
                self.latency.observe(latency, now)
        if self._has_rates and tokens:
            self.tokens.add(now, tokens)

    def fail(self, kind: FailureKind, began: float, now: float, chance: float, retry_after: float | None) -> bool:
        """An attempt has failed; gives whether a rest begins."""
        if self.adaptive is not None and kind in BUSY:
            self.adaptive.observe(began, now, self.in_flight, is_refusal=True)
        self.in_flight -= 1
        if kind in LIFELESS:
            self._forget(began)
        else:
            self.unanswered = 0
        if kind is FailureKind.NOT_FOUND and "*" in self.deployment.upstream_model:
            # The caller has chosen a model that is not there; others may be.
            kind = FailureKind.BAD_REQUEST
        if kind in OF_CREDENTIAL:
            self.health.leave(began)
            return self.credential.fail(kind, began, now, chance=chance, retry_after=retry_after)
        self.credential.leave(began)
        return self.health.fail(kind, began, now, chance=chance, retry_after=retry_after)

    def outrun(self, began: float, now: float, chance: float) -> bool:
        """An attempt was given up before it had any answer, as another one was quicker; gives whether a rest begins.

        Once that is chance. Again and again it is a deployment that does not answer.
        """
        self.outruns += 1
        if self.outruns > OUTRUNS_IN_A_ROW:
            return self.fail(FailureKind.TIMEOUT, began, now, chance, None)
        self.leave(began)
        return False

    def leave(self, began: float) -> None:
        """An attempt has ended without a verdict."""
        self.in_flight -= 1
        self._forget(began)
        self.health.leave(began)
        self.credential.leave(began)

    def _forget(self, began: float) -> None:
        """Expect no answer to the attempt of that time any more."""
        if self.unanswered and began >= self.silent_since:
            self.unanswered -= 1
