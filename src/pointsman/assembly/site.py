"""What the gateways of protocols stand on, and what they have in common."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pointsman.access.settings import AccessSettings
from pointsman.edge.accounts import Accounts
from pointsman.pipeline.till import Till
from pointsman.store.following import Feed
from pointsman.store.pepper import NoPepper, pepper
from pointsman.store.settings import RecordSettings
from pointsman.telemetry.metrics import Metrics
from pointsman.telemetry.tasks import Tasks
from pointsman.upstream.deadlines import Sweeper
from pointsman.upstream.outbox import Outbox

SECRET_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What lasts as long as the process."""

    sweeper: Sweeper
    outbox: Outbox
    tasks: Tasks
    metrics: Metrics
    till: Till
    accounts: Accounts
    data: Path | None
    database: RecordSettings | None
    environ: Mapping[str, str]

    async def feed(self) -> Feed | None:
        """The store, if there is one, and news of its changes.

        :raises Overloaded: it is away
        """
        await self.accounts.look()
        return self.accounts.admin

    def secret(self, access: AccessSettings) -> bytes:
        """What all workers and replicas have in common, as far as there is anything."""
        try:
            is_shared = self.database is not None and not self.database.is_sqlite
            return pepper(self.environ, None if is_shared else self.data)
        except NoPepper:
            key = access.master_key
            return key.reveal().encode() if key is not None else secrets.token_bytes(SECRET_BYTES)
