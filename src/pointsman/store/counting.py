"""Shared numbers, as the rest of the gateway sees them, and what a process does when it does not reach those it shares.

``Counters`` say yes or no to what a request brings (see :mod:`pointsman.access.limits`). Alone in its process a gateway
keeps them in memory; workers of one parent borrow from it; many replicas ask Redis. Each keeps to the same contract.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

import msgspec

from pointsman.access.limits import Charge, Grant, Limit, Refusal

Rebuild: TypeAlias = Callable[[Limit], Awaitable[int]]
"""What the ledger knows to be spent of a money limit; asked when nobody has counted it yet."""


WriteDown: TypeAlias = Callable[[], Awaitable[bool]]
"""Writes into the ledger what this process has spent, and tells whether all of it is there."""


class Counted(msgspec.Struct, frozen=True):
    """What all have made of a money limit together."""

    spent: int
    """What was settled, as far as it was told."""
    held: int
    """What is reserved beside it, and what was lent."""


class Counters(Protocol):
    """What may be used, and what is."""

    def reserve_now(self, charges: Sequence[Charge]) -> Grant | Refusal | None:
        """Reserve all charges, whose keys are distinct, or nothing; ``None``: :meth:`reserve` has to be waited for."""

    async def reserve(self, charges: Sequence[Charge]) -> Grant | Refusal:
        """The same. Whoever shares the numbers may be away: then this process's share decides, and the grant says so.

        Raises what ``rebuild`` raises.
        """

    def settle(self, grant: Grant, actual: Mapping[str, int]) -> None:
        """So much was used, by keys of limits; those not named as reserved. To settle a grant again does nothing."""

    def release(self, grant: Grant) -> None:
        """Nothing was used."""

    def remaining(self, limit: Limit) -> int | None:
        """What is left, as far as it is known here."""

    async def seed(self, key: str, used: int) -> None:
        """Set what was spent of a money limit, in the place of what was counted."""

    def adjust(self, key: str, by: int) -> None:
        """So much more of a money limit was spent than was counted; below 0: less."""

    async def counted(self, limit: Limit) -> Counted | None:
        """What was counted of a money limit; ``None``: nobody has.

        :raises StoreDown: whoever shares the numbers is away
        """

    async def gather(self) -> bool:
        """Have the others write down and tell what they have spent; whether all who are known have done so."""

    async def close(self) -> None:
        """Tell the others what they do not know yet."""


async def nothing_spent(_limit: Limit) -> int:
    """For those who keep no ledger."""
    return 0


async def nothing_to_write() -> bool:
    """The same."""
    return True


def nothing_used(grant: Grant) -> dict[str, int]:
    """What a grant is settled with that was not used."""
    return dict.fromkeys((charge.limit.key for charge in grant.charges), 0)
