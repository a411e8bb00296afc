from __future__ import annotations

import logging
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pointsman.access.caller import MASTER
from pointsman.access.keys import Key
from pointsman.assembly.accounts import Ground, accounts_of, check_stores
from pointsman.edge.admin import Held
from pointsman.errors import Overloaded, ResourceNotFound, Unauthenticated
from pointsman.store.opening import CannotOpen
from pointsman.store.pepper import NoPepper
from pointsman.store.settings import RecordSettings, StoreSettings
from pointsman.telemetry.tasks import Tasks
from pointsman.wire.secret import Secret


def files_in(directory: Path) -> dict[str, bytes]:
    return {one.name: one.read_bytes() for one in directory.iterdir()}


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncIterator[Callable[..., Ground]]:
    tasks = Tasks(logging.getLogger("tests"), 100)

    def make(**more: Any) -> Ground:
        return Ground(**{"data": tmp_path, "environ": {}, "tasks": tasks, **more})

    yield make
    await tasks.close(1.0)


async def test_where_nothing_is_kept_there_are_no_keys(ground: Callable[..., Ground]) -> None:
    accounts = accounts_of(ground(data=None))
    assert await accounts.look() is None
    with pytest.raises(ResourceNotFound):
        await accounts.opened()


@pytest.mark.requirement("access.nothing-without-keys")
async def test_as_long_as_nobody_makes_a_key_nothing_is_written(ground: Callable[..., Ground], tmp_path: Path) -> None:
    assert await accounts_of(ground()).look() is None
    assert files_in(tmp_path) == {}


async def test_a_key_that_one_process_makes_is_known_to_another(ground: Callable[..., Ground], tmp_path: Path) -> None:
    stop = partial(ground().tasks.close, 5.0)
    first, second = accounts_of(ground()), accounts_of(ground())
    admin = await first.opened()
    made = admin.make_key()
    assert re.fullmatch(r"sk-[\w-]{43}", made)
    row_id = admin.pepper.digest(made.encode()).hex()
    key = Key(account=row_id, **admin.made(MASTER))
    await admin.write(MASTER, "key.generate", row_id, [Held(row_id, key, 0).change(key)], None, key)
    keys = await second.look()
    assert keys is not None
    assert (await keys.find([made.encode()])).id == row_id
    await admin.write(MASTER, "key.delete", row_id, [Held(row_id, key, 1).change(None)], key)
    await keys.poll()
    with pytest.raises(Unauthenticated):
        await keys.find([made.encode()])
    # Whoever follows changes must not ask a store that was let go.
    await stop()
    for one in (first, second):
        await one.close()
    held = b"".join(files_in(tmp_path).values())
    assert made.encode() not in held
    assert row_id.encode() in held


async def test_gateways_that_share_a_database_have_to_be_given_the_salt(ground: Callable[..., Ground]) -> None:
    database = RecordSettings(url=Secret("postgresql://127.0.0.1:1/none"))
    with pytest.raises(NoPepper):
        await accounts_of(ground(database=database)).opened()


@pytest.mark.requirement("access.nothing-without-keys")
def test_no_database_is_imported_before_there_are_keys() -> None:
    code = "import sys, pointsman.app, pointsman.cli, pointsman.assembly.accounts; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"sqlalchemy", "alembic", "aiosqlite", "asyncpg", "redis", "sqlite3"}
    imported = set(done.stdout.split())
    assert not heavy & {name.partition(".")[0] for name in imported}
    assert not {"pointsman.edge.admin", "pointsman.edge.routes.keys", "pointsman.pipeline.known_keys"} & imported


async def test_what_one_process_has_sealed_another_one_unseals(ground: Callable[..., Ground]) -> None:
    first, second = [await accounts_of(ground()).opened() for _ in range(2)]
    assert first.sealer is not None
    assert second.sealer is not None
    assert second.sealer.unseal(first.sealer.seal("canary", "row"), "row") == Secret("canary")
    await first.close()
    await second.close()


async def test_a_database_that_waiting_does_not_help_is_told_of_once_and_stays_as_it_is(
    ground: Callable[..., Ground], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "pointsman.db"
    file.write_text("this is no database, as anybody can see" * 20)
    with pytest.raises(CannotOpen, match="waiting does not help"):
        check_stores(StoreSettings(), tmp_path, {})
    before = file.read_bytes()
    accounts = accounts_of(ground())
    for _ in range(2):
        with pytest.raises(Overloaded):
            await accounts.opened()
    assert caplog.text.count("waiting does not help") == 1
    assert str(file) in caplog.text
    assert file.read_bytes() == before
    await accounts.close()
