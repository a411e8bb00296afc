from __future__ import annotations

import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations

from pointsman.store.migrations.versions import v0004_tasks, v0005_batches


def test_it_makes_its_tables_with_an_index_of_what_is_still_to_be_done() -> None:
    engine = sa.create_engine("sqlite://")
    with engine.begin() as connection, Operations.context(MigrationContext.configure(connection)):
        v0005_batches.upgrade()
        tables = set(sa.inspect(connection).get_table_names())
        rows = connection.execute(sa.text("SELECT sql FROM sqlite_master WHERE name = 'batch_lines_ready_at'"))
        index = rows.scalar_one()
    engine.dispose()
    assert v0005_batches.down_revision == v0004_tasks.revision
    assert tables == {"batches", "batch_lines"}
    assert index.endswith("(batch, ready_at, number) WHERE ready_at IS NOT NULL")
