"""From settings to virtual keys and the ledger. Nothing of a database is imported before somebody needs one."""

from __future__ import annotations

import logging
import secrets
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import msgspec

from pointsman.access.settings import AUTH_GRACE
from pointsman.edge.accounts import Accounts, away
from pointsman.store.base import StoreDown, Unusable
from pointsman.store.opening import USELESS, check, check_file, records
from pointsman.store.pepper import pepper
from pointsman.store.settings import RecordSettings, StoreSettings, sqlite_in
from pointsman.telemetry.tasks import Tasks
from pointsman.wire.secret import Secret

if TYPE_CHECKING:
    from pointsman.access.keys import Pepper
    from pointsman.edge.admin import Admin
    from pointsman.pipeline.till import Till
    from pointsman.store.base import Records
    from pointsman.store.sealing import Sealer

DATABASE = "pointsman.db"
SPOOL = "spend-spool"
"""In the data directory, for all processes that share it."""
KEY_BYTES = 32
WRITER_BYTES = 8
ALONE = (
    "without a Redis (router_settings.redis_host) each of them counts limits and budgets for itself, "
    "and both can be passed as many times over"
)
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What the accounts of a process stand on."""

    data: Path | None
    """The data directory; ``None``: nothing is kept."""
    environ: Mapping[str, str]
    tasks: Tasks
    """For what runs as long as the gateway, and for look-ups."""
    database: RecordSettings | None = None
    """``None``: a file in the data directory, as soon as there are any keys."""
    grace: float = AUTH_GRACE
    who: str = ""
    """What a database that others share is to call all processes of this gateway."""
    counts_alone: bool = False
    """Whether other gateways do not hear of what is counted here."""
    till: Till | None = None
    """Whose ledger it becomes."""
    event_seconds: Callable[[], float | None] = lambda: None
    """How long rows of the ledger are kept, at the moment."""


def accounts_of(ground: Ground) -> Accounts:
    """The virtual keys of this process; there are none where nothing can be kept."""
    if ground.database is None and ground.data is None:
        return Accounts()
    return Accounts(_Opening(ground).open, partial(is_store_there, ground.database, ground.data))


def is_store_there(database: RecordSettings | None, data: Path | None) -> bool:
    """Whether there are keys, as far as one can tell without asking."""
    return database is not None or (data is not None and (data / DATABASE).exists())


def check_stores(stores: StoreSettings, data: Path | None, environ: Mapping[str, str]) -> None:
    """Look whether the stores can be used, as far as this machine tells.

    :raises CannotOpen: a library is missing, or the file is no database of ours
    :raises NoPepper: there is nothing to make digests with
    """
    check(stores)
    if is_store_there(stores.records, data):
        file = _file(stores.records, data)
        if file is not None and file.exists():
            check_file(file)
        _salt(stores.records, data, environ)


def _file(database: RecordSettings | None, data: Path | None) -> Path | None:
    """The database, where it is a file."""
    if database is not None:
        return database.path
    return None if data is None else data / DATABASE


def _salt(database: RecordSettings | None, data: Path | None, environ: Mapping[str, str]) -> bytes:
    # Somebody on another machine may have the same rows.
    is_shared = database is not None and not database.is_sqlite
    return pepper(environ, None if is_shared else data)


class _Opening:
    """Opens the store, and tries again with the same one."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._records: Records | None = None
        self._is_told = False

    async def open(self) -> Admin:
        """Open it, follow its changes, and write the ledger.

        :raises Overloaded: it is away
        :raises CannotOpen: its address is of no kind that is known, or a library is missing
        :raises NoPepper: there is nothing to make digests with
        """
        from pointsman.access.keys import Pepper  # noqa: PLC0415  as the docstring of this module says
        from pointsman.store.sealing import Sealer  # noqa: PLC0415

        ground = self._ground
        salt = _salt(ground.database, ground.data, ground.environ)
        if self._records is None:
            self._records = _records(ground)
        try:
            await self._records.open()
        except StoreDown as error:
            if isinstance(error, Unusable) and not self._is_told:
                self._is_told = True
                where = _file(ground.database, ground.data) or "of general_settings.database_url"
                log.error("the database %s cannot be used (%s): %s", where, error, USELESS)  # noqa: TRY400 - said
            raise away() from error
        if ground.counts_alone:
            await _warn_of_others(self._records)
        return _admin(ground, self._records, Pepper(salt), Sealer(Secret(salt.decode("latin-1"))))


async def _warn_of_others(rows: Records) -> None:
    with suppress(StoreDown):
        if await rows.others():
            log.warning("another gateway uses the database: %s", ALONE)


def _admin(ground: Ground, rows: Records, made: Pepper, sealer: Sealer) -> Admin:
    from pointsman.edge.admin import Admin  # noqa: PLC0415
    from pointsman.pipeline.known_keys import KnownKeys  # noqa: PLC0415
    from pointsman.pipeline.spending import Retention, Spending, keep_tidy  # noqa: PLC0415
    from pointsman.store.journal import Journal  # noqa: PLC0415
    from pointsman.store.spool import Spool  # noqa: PLC0415

    keys = KnownKeys(rows, made, ground.tasks, clock=time.monotonic, now=time.time, grace=ground.grace)
    directory = Path(tempfile.mkdtemp(prefix="pointsman-")) if ground.data is None else ground.data
    place, writer = directory / SPOOL, secrets.token_hex(WRITER_BYTES)
    spending = Spending(rows, Spool(place, writer), Journal(place, writer))
    if ground.till is not None:
        ground.till.open_ledger(rows, spending)
    ground.tasks.start(keys.follow(), "follow the changes of keys")
    ground.tasks.start(spending.run(), "write the ledger")
    ground.tasks.start(keep_tidy(rows, lambda: Retention(events=ground.event_seconds())), "tidy up the ledger")
    return Admin(
        records=rows,
        keys=keys,
        pepper=made,
        now=time.time,
        make_key=_make_key,
        make_id=_make_id,
        spending=spending,
        till=ground.till,
        sealer=sealer,
    )


def _records(ground: Ground) -> Records:
    if ground.database is not None:
        return records(msgspec.structs.replace(ground.database, who=ground.who))
    assert ground.data is not None
    ground.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    return records(sqlite_in(ground.data))


def _make_key() -> str:
    return "sk-" + secrets.token_urlsafe(KEY_BYTES)


def _make_id() -> str:
    return str(uuid4())
