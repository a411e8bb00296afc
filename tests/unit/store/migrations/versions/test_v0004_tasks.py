from __future__ import annotations

import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations

from pointsman.store.migrations.versions import v0003_agents, v0004_tasks


def test_it_makes_its_tables() -> None:
    engine = sa.create_engine("sqlite://")
    with engine.begin() as connection, Operations.context(MigrationContext.configure(connection)):
        v0004_tasks.upgrade()
        tables = set(sa.inspect(connection).get_table_names())
    engine.dispose()
    assert v0004_tasks.down_revision == v0003_agents.revision
    assert tables == {"a2a_tasks", "a2a_contexts", "a2a_push"}
