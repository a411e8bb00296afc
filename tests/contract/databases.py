"""Databases for tests of stores: a new one for each test."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest
from contract.postgres import PostgresServer, program

from pointsman.store.opening import records
from pointsman.store.settings import RecordSettings
from pointsman.store.sql import SqlRecords
from pointsman.wire.secret import Secret

ALL = os.environ.get("POINTSMAN_TESTS_REQUIRE_ALL") == "1"
_numbers = count(1)

Make = Callable[..., SqlRecords]


def postgres_or_skip() -> PostgresServer:
    """A server that was started."""
    if program("initdb") is None and not ALL:
        pytest.skip("there is no PostgreSQL here: install it to run this")
    server = PostgresServer()
    server.start()
    return server


async def new_database(server: PostgresServer) -> str:
    """The address of an empty schema, which is made sooner than a database."""
    name = f"test{next(_numbers)}"
    connection = await asyncpg.connect(server.url("postgres"))
    try:
        await connection.execute(f"CREATE SCHEMA {name}")
    finally:
        await connection.close()
    return server.url("postgres") + f"?schema={name}"


def sqlite_url(directory: Path) -> str:
    return f"sqlite:///{directory / 'pointsman.db'}"


def store(url: str, **settings: float) -> SqlRecords:
    """With deadlines that a busy machine keeps."""
    seconds: dict[str, Any] = {"read_seconds": 30.0, "write_seconds": 30.0, **settings}
    made = records(RecordSettings(url=Secret(url), connections=3, **seconds))
    assert isinstance(made, SqlRecords)
    return made


Opener = Callable[..., Awaitable[SqlRecords]]
