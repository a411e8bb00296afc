from __future__ import annotations

import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations

from pointsman.store.migrations.versions import v0005_batches, v0006_files


def test_it_makes_its_table_with_an_index_of_what_expires() -> None:
    engine = sa.create_engine("sqlite://")
    with engine.begin() as connection, Operations.context(MigrationContext.configure(connection)):
        v0006_files.upgrade()
        tables = set(sa.inspect(connection).get_table_names())
        rows = connection.execute(sa.text("SELECT sql FROM sqlite_master WHERE name = 'files_expires_at'"))
        index = rows.scalar_one()
    engine.dispose()
    assert v0006_files.down_revision == v0005_batches.revision
    assert tables == {"files"}
    assert index.endswith("(expires_at) WHERE expires_at IS NOT NULL")
