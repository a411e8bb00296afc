"""What is the same for every provider that runs whole batches."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import msgspec

from pointsman.batches.protocol.lines import LineRequest
from pointsman.errors import InvalidRequest
from pointsman.pipeline.seals import has_foreign_seal
from pointsman.providers.base import Price
from pointsman.providers.costs import cost_usd
from pointsman.wire.peek import Peek, peek, splice_model
from pointsman.wire.usage import Usage

DISCOUNT: Final = Decimal("0.5")
"""What it costs of the price."""
OK: Final = 200
GONE: Final = "The provider gave no answer"


class Who(msgspec.Struct, frozen=True):
    """For whom it is paid, as it was when the provider was asked."""

    key_id: str
    team_id: str = ""
    user_id: str = ""
    organization_id: str = ""
    tags: tuple[str, ...] = ()


class Progress(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far a batch is there; kept in its document."""

    deployment: str = ""
    """Its id; empty: nothing was begun."""
    place: str = ""
    """Where it is there, whatever becomes of that deployment."""
    credential: str = ""
    """The digest of what it was begun with."""
    who: Who = Who("")
    file: str = ""
    """The input file there, of a provider that takes one."""
    size: int = 0
    """Bytes of what is sent, to a provider that takes all requests at once."""
    ask: int = 0
    """The fence of the only lease under which it may be asked to begin; 0: none may."""
    asked_at: float = 0.0
    """When that lease was to be had, in seconds since 1970; 0: it was not asked."""
    batch: str = ""
    is_cancelled: bool = False
    """Whether the provider was told to stop."""
    over_since: float = 0.0
    """When it was first seen that no more is to be done of it; 0: that was not so yet."""
    since: float = 0.0
    """From when on the provider could begin: its file is there, or it was paused until then."""

    @property
    def is_asked(self) -> bool:
        """Whether there may be a batch whose id nobody could write down."""
        return not self.batch and bool(self.file or self.asked_at)

    def is_in_doubt(self, fence: int) -> bool:
        """Whether somebody before whoever has the lease of that fence may have had it begun unseen."""
        return not self.batch and bool(self.asked_at) and self.ask != fence

    def unasked(self) -> Progress:
        """The same when it is known that nothing was begun."""
        return msgspec.structs.replace(self, ask=0, asked_at=0.0)


class Got(msgspec.Struct, frozen=True):
    """What came of a line there."""

    number: int
    status: int
    body: bytes
    request_id: str
    usage: Usage


def looked_at(request: LineRequest) -> Peek:
    """What is seen of a line at a glance.

    :raises InvalidRequest: the gateway itself would have to do something about it
    """
    peeked = peek(request.operation, request.body)
    is_ours = peeked.wishes is not None or peeked.names_servers or peeked.has_system
    if is_ours or has_foreign_seal(request.body):
        raise InvalidRequest("there are lines that say how they are to be served")
    return peeked


def passed(request: LineRequest, model: str) -> msgspec.Raw:
    """The body of a line as a provider gets it; ``model`` is what it calls the model.

    :raises InvalidRequest: as in :func:`looked_at`
    """
    peeked = looked_at(request)
    return msgspec.Raw(splice_model(request.body, peeked.model, model, peeked.model_span))


def cost(price: Price, usage: Usage) -> Decimal:
    """US dollars of a line there."""
    return (cost_usd(price, usage) or Decimal(0)) * DISCOUNT
