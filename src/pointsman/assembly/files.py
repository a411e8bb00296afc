"""The files of clients of a process. Nothing of them is loaded before somebody asks, or there may be any."""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

from pointsman.assembly.site import Site
from pointsman.edge.files import NO_PLACE
from pointsman.errors import GatewayError, ObjectNotFound, Overloaded
from pointsman.store.settings import BucketPlace, FileSettings

if TYPE_CHECKING:
    from pointsman.batches.files import Files
    from pointsman.config.snapshot import Snapshot
    from pointsman.store.blobs import Blobs

DIRECTORY = "files"
"""In the data directory, or below the prefix in the bucket; in it there is one for each database."""
ID_BYTES = 16
FIRST_SECONDS = 60.0
SWEEP_SECONDS = 3600.0
"""At most, until old files are looked for first, and again."""
APART = (
    "files stay on the machine of the gateway that has got them, and other gateways use the database too: "
    "where they have no common data directory, set files.bucket_url"
)
log = logging.getLogger(__name__)


class FileService:
    """See :class:`~pointsman.edge.files.FileAccess`; it lasts as long as the process."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._settings = FileSettings()
        self._bucket: BucketPlace | None = None
        self._is_configured = False
        self._is_tidying = False
        self._opening = asyncio.Lock()
        self._files: Files | None = None

    def configure(self, snapshot: Snapshot) -> None:
        """Go by this snapshot from now on; the bucket stays that of the first one."""
        self._settings = snapshot.stores.files
        if not self._is_configured:
            self._is_configured, self._bucket = True, self._settings.bucket

    def warm(self) -> None:
        """Begin to look for old files, if there may be any."""
        site = self._site
        has_any = self._bucket is not None or (site.data is not None and (site.data / DIRECTORY).exists())
        if has_any and site.accounts.state != "Not connected":
            self._begin_to_tidy()

    async def files(self) -> Files:
        """See :class:`~pointsman.edge.files.FileAccess`."""
        if self._files is None:
            async with self._opening:
                if self._files is None:
                    self._files = await self._open()
            self._begin_to_tidy()
        return self._files

    async def tidy(
        self,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Delete old files now and then, until this is cancelled: processes that share them do so in turn."""
        seconds = FIRST_SECONDS
        while True:
            await sleep(seconds * chance())
            seconds = SWEEP_SECONDS
            try:
                count = await (await self.files()).sweep()
            except GatewayError as error:
                log.warning("old files were not deleted: %s", error.operator_detail or error.message)
            else:
                if count:
                    log.info("%d old files were deleted", count)

    def _begin_to_tidy(self) -> None:
        if not self._is_tidying:
            self._is_tidying = True
            self._site.tasks.start(self.tidy(), "tidy up files")

    async def _open(self) -> Files:
        if self._bucket is None and self._site.data is None:
            raise ObjectNotFound(NO_PLACE)
        from pointsman.batches.files import Files, translated  # noqa: PLC0415  as the docstring of this module says

        records = (await self._site.accounts.opened()).records
        rows = records.files
        with translated():
            realm = await rows.realm()
            if self._bucket is None and await records.others():
                log.warning(APART)
        make_id = partial(secrets.token_hex, ID_BYTES)
        return Files(rows, self._blobs(realm), lambda: self._settings, now=time.time, make_id=make_id)

    def _blobs(self, realm: str) -> Blobs:
        """Of this database: somebody else's in the same place look like nobody's."""
        place, data = self._bucket, self._site.data
        if place is None:
            from pointsman.store.blobs import DiskBlobs  # noqa: PLC0415  the same

            assert data is not None
            return DiskBlobs(data / DIRECTORY / realm)
        from pointsman.store.bucket_blobs import SECONDS, BucketBlobs  # noqa: PLC0415  the same
        from pointsman.store.buckets import BucketFault, open_bucket  # noqa: PLC0415  the same

        try:
            bucket = open_bucket(place.kind, place.name, self._site.environ, SECONDS, "files")
        except BucketFault as error:
            raise Overloaded("Files cannot be kept at the moment", operator_detail=str(error)) from error
        return BucketBlobs(bucket, f"{place.prefix}{DIRECTORY}/{realm}/", data)
