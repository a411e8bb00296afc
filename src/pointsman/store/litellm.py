"""Reads the tables of LiteLLM's database, and changes nothing in it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from pointsman.store.base import StoreDown
from pointsman.store.postgres import Address
from pointsman.wire.secret import Secret

SECONDS: Final = 60.0
PREFIX: Final = "LiteLLM_"
SCHEMES: Final = ("postgresql://", "postgres://", "postgresql+")


async def rows(url: Secret, table: str) -> AsyncIterator[dict[str, Any]]:
    """Every row of a table; none where there is no such table.

    :raises StoreDown: the database cannot be read, or is not LiteLLM's
    """
    address = _address(url.reveal())
    options = {"timeout": SECONDS, "command_timeout": SECONDS, **address.options}
    engine = create_async_engine(address.url, hide_parameters=True, connect_args=options)
    try:
        async with engine.connect() as connection:
            names = await connection.run_sync(lambda link: sa.inspect(link).get_table_names())
            if not any(name.startswith(PREFIX) for name in names):
                raise StoreDown("That database has no tables of LiteLLM's")
            if table in names:
                found = await connection.stream(sa.text(f'SELECT * FROM "{table}"'))  # noqa: S608  one of five names
                async for row in found.mappings():
                    yield dict(row)
    except (DBAPIError, OSError) as error:
        raise StoreDown(f"LiteLLM's database cannot be read: {type(error).__name__}") from error
    finally:
        await engine.dispose()


def _address(url: str) -> Address:
    if not url.startswith(SCHEMES):
        raise StoreDown("LiteLLM's database is a PostgreSQL: postgresql://user:password@host/name")
    try:
        return Address(url)
    except (ArgumentError, ValueError):
        # What SQLAlchemy says may repeat the password.
        raise StoreDown("LiteLLM's database has no address like that: postgresql://user:password@host/name") from None
