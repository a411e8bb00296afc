"""The way from the endpoints of batches to the service, of which nothing is loaded before somebody asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pointsman.errors import ObjectNotFound

if TYPE_CHECKING:
    from pointsman.batches.service import Batches
    from pointsman.edge.context import Serving


class BatchWork(Protocol):
    """The batches of this process."""

    def drain(self) -> None:
        """Begin nothing any more; what runs goes on."""

    async def service(self) -> Batches:
        """What answers clients; it is made when somebody asks first.

        :raises ObjectNotFound: there is no store, or no place for files
        :raises Overloaded: the store is away
        """


async def batches_of(serving: Serving) -> Batches:
    """What answers clients.

    :raises ObjectNotFound: there is no store
    :raises Overloaded: it is away
    """
    if serving.batches is None:
        raise ObjectNotFound("There are no batches here")
    return await serving.batches.service()
