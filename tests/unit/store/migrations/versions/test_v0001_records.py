from __future__ import annotations

import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations

from pointsman.store.migrations.versions import v0001_records


def test_it_is_the_first_step_and_makes_the_first_tables() -> None:
    engine = sa.create_engine("sqlite://")
    with engine.begin() as connection, Operations.context(MigrationContext.configure(connection)):
        v0001_records.upgrade()
        tables = set(sa.inspect(connection).get_table_names())
    engine.dispose()
    assert v0001_records.down_revision is None
    assert tables == {
        "keys",
        "teams",
        "users",
        "organizations",
        "budgets",
        "credentials",
        "changes",
        "audit",
        "meta",
        "spend",
        "spend_content",
        "spend_sums",
    }
