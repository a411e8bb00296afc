from __future__ import annotations

import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations

from pointsman.store.migrations.versions import v0001_records, v0002_mcp


def test_it_adds_its_tables_to_those_that_are_there() -> None:
    engine = sa.create_engine("sqlite://")
    with engine.begin() as connection, Operations.context(MigrationContext.configure(connection)):
        v0001_records.upgrade()
        before = set(sa.inspect(connection).get_table_names())
        v0002_mcp.upgrade()
        added = set(sa.inspect(connection).get_table_names()) - before
    engine.dispose()
    assert v0002_mcp.down_revision == v0001_records.revision
    assert added == {"mcp_servers", "mcp_pins", "mcp_tokens", "mcp_clients"}
