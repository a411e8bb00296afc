from __future__ import annotations

import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations

from pointsman.store.migrations.versions import v0001_records, v0002_mcp, v0003_agents


def test_it_adds_its_table_to_those_that_are_there() -> None:
    engine = sa.create_engine("sqlite://")
    with engine.begin() as connection, Operations.context(MigrationContext.configure(connection)):
        v0001_records.upgrade()
        v0002_mcp.upgrade()
        before = set(sa.inspect(connection).get_table_names())
        v0003_agents.upgrade()
        added = set(sa.inspect(connection).get_table_names()) - before
    engine.dispose()
    assert v0003_agents.down_revision == v0002_mcp.revision
    assert added == {"agents"}
