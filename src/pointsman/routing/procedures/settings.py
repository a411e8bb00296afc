"""What an operator can set about a routed model whose strategy is a procedure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Self

import msgspec

RANGES: Final = 100
ROUNDING: Final = 1e-9


class Ladder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a cascade keeps an answer, learnt from outcomes: what a step does by how sure the verifier is.

    :raises ValueError: a step leads nowhere, or backwards
    """

    tiers: tuple[str, ...]
    """Candidates, the cheapest first."""
    steps: tuple[tuple[int, ...], ...]
    """For each tier but the last, and each of equally wide ranges of 0..1: the tier to go on with; its own: keep."""

    def __post_init__(self) -> None:
        if not self.tiers or len(set(self.tiers)) != len(self.tiers):
            raise ValueError("a ladder has at least one tier, and each is another candidate")
        if len(self.steps) != len(self.tiers) - 1 or not all(self.steps):
            raise ValueError("a ladder has a step for each tier but the last")
        for tier, step in enumerate(self.steps):
            if not all(tier <= there < len(self.tiers) for there in step):
                raise ValueError("a step keeps the answer, or leads to a later tier")

    def after(self, tier: int, sureness: float) -> int:
        """The tier to go on with, when ``sureness`` (0..1) is what the verifier says of the answer of ``tier``."""
        if tier >= len(self.steps):
            return tier
        step = self.steps[tier]
        return step[min(len(step) - 1, int(sureness * len(step) + ROUNDING))]

    @classmethod
    def of_thresholds(cls, tiers: Sequence[str], hopeless: float, threshold: float) -> Self:
        """Keep an answer at ``threshold`` and above, and below ``hopeless``; else go on with the next tier."""
        # The last range is for "surely": of at most 64 judgements all but one are less.
        enough = min(threshold, 1 - 1 / RANGES) - ROUNDING
        is_kept = [at / RANGES < hopeless - ROUNDING or at / RANGES >= enough for at in range(RANGES)]
        last = len(tiers) - 1
        return cls(
            tiers=tuple(tiers),
            steps=tuple(tuple(tier if is_one else tier + 1 for is_one in is_kept) for tier in range(last)),
        )


class ProcedureSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Of one routed model. Names are those of model groups."""

    strategy: str
    """One of :data:`pointsman.routing.procedures.PROCEDURES`."""
    controller: str | None = None
    """Who takes the question apart (multi-round) or thinks (r1); ``None``: the best candidate."""
    verifier: str | None = None
    """Who judges an answer of a cascade; ``None``: whoever gave it."""
    tiers: tuple[str, ...] = ()
    """Of a cascade, the cheapest first; empty: the cheapest candidate and the best one."""
    samples: int = 5
    """How often the verifier is asked."""
    threshold: float = 0.6
    """An answer is kept if the verifier is at least so sure (0..1)."""
    hopeless: float = 0.0
    """It is kept too if the verifier is less sure than this: what is hopeless is not worth more."""
    ladder: Ladder | None = None
    """What was learnt in the place of these three."""
    quality: float | None = None
    """What a request wants in the place of all of these: an answer is kept from this sureness on (0..1); at 0 the
    cheapest tier is not even judged, at 1 the last one is asked at once."""
    max_rounds: int = 5
    """How often the controller thinks (r1)."""
    max_sub_queries: int = 4
    max_asks: int = 16
    """All calls of a request together, the last one apart."""
    max_cost_usd: float | None = None
    """After so much money no further call is made, the last one apart."""
    descriptions: dict[str, str] = {}
    """What a controller is told about candidates."""


_Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
_Count = Annotated[int, msgspec.Meta(ge=1, le=64)]


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The same as a document has it."""

    controller: str | None = None
    verifier: str | None = None
    tiers: tuple[str, ...] = ()
    samples: _Count = 5
    threshold: _Share | Annotated[list[_Share], msgspec.Meta(min_length=2, max_length=2)] = 0.6
    """One number, or below which and from which on an answer is kept."""
    ladder: Ladder | None = None
    max_rounds: _Count = 5
    max_sub_queries: _Count = 4
    max_asks: _Count = 16
    max_ask_cost: Annotated[float, msgspec.Meta(ge=0)] | None = None
    """In US dollars."""
    descriptions: dict[str, str] = {}


def settings_of(strategy: str, options: Mapping[str, Any]) -> ProcedureSettings:
    """Read what a document says about a procedure.

    :raises ValueError: it is not valid; says which member is not, and why
    """
    read = msgspec.convert(options, Options)
    hopeless, threshold = read.threshold if isinstance(read.threshold, list) else (0.0, read.threshold)
    if hopeless > threshold:
        raise ValueError("threshold: the first of two is the lower one")
    return ProcedureSettings(
        strategy=strategy,
        controller=read.controller,
        verifier=read.verifier,
        tiers=read.tiers,
        samples=read.samples,
        threshold=threshold,
        hopeless=hopeless,
        ladder=read.ladder,
        max_rounds=read.max_rounds,
        max_sub_queries=read.max_sub_queries,
        max_asks=read.max_asks,
        max_cost_usd=read.max_ask_cost,
        descriptions=read.descriptions,
    )
