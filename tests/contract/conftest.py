from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from contract.databases import Opener, new_database, postgres_or_skip, sqlite_url, store
from contract.postgres import PostgresServer

from pointsman.store.sql import SqlRecords


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    server = postgres_or_skip()
    yield server
    server.close()


@pytest.fixture(params=["sqlite", "postgres"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path)
    server: PostgresServer = request.getfixturevalue("postgres")
    return await new_database(server)


@pytest.fixture
async def opened(database: str) -> AsyncIterator[Opener]:
    """Opens stores on the same database."""
    stores: list[SqlRecords] = []

    async def open_one(**settings: float) -> SqlRecords:
        one = store(database, **settings)
        stores.append(one)
        await one.open()
        return one

    yield open_one
    for one in stores:
        await one.close()


@pytest.fixture
async def records(opened: Opener) -> SqlRecords:
    return await opened()
