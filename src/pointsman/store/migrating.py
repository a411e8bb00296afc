"""Bringing a database to the schema of this version.

Steps only add, so that the version before goes on working while replicas are replaced one by one: a database that is
further than this version is left as it is. Alembic is loaded only where there is something to do.
"""

from __future__ import annotations

import logging
from pathlib import Path

import sqlalchemy as sa

from pointsman.store.schema import HEAD

SCRIPTS = Path(__file__).with_name("migrations")


def version(connection: sa.Connection) -> str | None:
    """The last step that was taken, ``None`` in an empty database."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    return found


def migrate(connection: sa.Connection) -> None:
    """Take the steps that are missing, all of them or none. The caller sees to it that nobody else does."""
    found = version(connection)
    if found is not None and found >= HEAD:
        return
    # It tells of each of its own parts.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    from alembic import command  # noqa: PLC0415 - a third of a second, once in the life of a version
    from alembic.config import Config  # noqa: PLC0415

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    command.upgrade(config, HEAD)
