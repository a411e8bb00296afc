"""What several rounds are put together as."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Protocol

from pointsman.pipeline.mcp_use.chat import ChatForm
from pointsman.pipeline.mcp_use.offers import Done, Offers, Wanted
from pointsman.pipeline.mcp_use.responses import ResponsesForm
from pointsman.wire import operations as op


class Form(Protocol):
    """One request, from its first round to its last, in the words of its API. What it gives are bytes for the client.

    The rounds of a stream are fed, those of another request taken whole; after each :meth:`turn` tells what is to be
    called, until :attr:`is_over`.
    """

    is_over: bool
    has_failed: bool

    @property
    def chain(self) -> tuple[str, str] | None: ...
    def request(self, *, is_last: bool) -> bytes: ...
    def approved(self) -> list[Wanted]: ...
    def take(self, body: bytes) -> None: ...
    def feed(self, piece: bytes) -> bytes: ...
    def turn(self) -> list[Wanted]: ...
    def calling(self, wanted: Sequence[Wanted]) -> bytes: ...
    def called(self, done: Sequence[Done]) -> bytes: ...
    def give_up(self) -> None: ...
    def finish(self) -> bytes: ...


FORMS: Final[Mapping[str, Callable[[dict[str, Any], Offers], Form]]] = MappingProxyType(
    {op.CHAT.name: ChatForm, op.RESPONSES.name: ResponsesForm}
)
"""By the name of the operation."""
