"""The way from the endpoints to the files of clients, of which nothing is loaded before somebody asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pointsman.errors import ObjectNotFound

if TYPE_CHECKING:
    from pointsman.batches.files import Files
    from pointsman.edge.context import Serving

NO_PLACE = "There is no place for files here: give the gateway a data directory, or set files.bucket_url"


class FileAccess(Protocol):
    """The files of this process."""

    async def files(self) -> Files:
        """They are opened when somebody asks first.

        :raises ObjectNotFound: there is no place for any
        :raises Overloaded: the store is away
        """


async def files_of(serving: Serving) -> Files:
    """The files of clients.

    :raises ObjectNotFound: there is no place for any
    :raises Overloaded: the store is away
    """
    if serving.files is None:
        raise ObjectNotFound(NO_PLACE)
    return await serving.files.files()
