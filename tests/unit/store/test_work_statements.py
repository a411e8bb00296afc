from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from pointsman.store import work_statements as sql
from pointsman.store.schema import batch_lines, batches, metadata
from pointsman.store.work import BatchLease, LineLease

NEXT = {"now": 1.0, "sure": 1.0, "served": "", "without": [], "only": ""}
CLAIM = {"b_batch": "b", "since": 0.0, "now": 1.0, "sure": 1.0, "most": 3, "b_holder": "h", "until": 2.0}


@pytest.mark.parametrize(
    ("statement", "values", "index"),
    [
        (sql.NEEDY, {"now": 1.0, "sure": 1.0}, "batches_ready_at"),
        (sql.NEXT, NEXT, "batches_open"),
        (sql.NEXT, NEXT, "batch_lines_ready_at"),
        (sql.CLAIM, CLAIM, "batch_lines_ready_at"),
        (sql.UNCLAIM, {"b_batch": "b", "b_holder": "h", "until": 2.0, "now": 1.0}, "batch_lines_ready_at"),
        (sql.FREE.where(batches.c.ready_at > 5.0), {"now": 1.0}, "batches_ready_at"),
        (sql.FREE_LINES.where(batch_lines.c.ready_at > 5.0), {"now": 1.0, "ids": ["b"]}, "batch_lines_ready_at"),
        (sql.BACKLOG, {}, "batches_ready_at"),
        (sql.PAGE, {"b_batch": "b", "after": 5, "most": 3}, "sqlite_autoindex_batch_lines_1"),
        (sql.CLEAR, {"b_batch": "b", "after": 0, "most": 3}, "sqlite_autoindex_batch_lines_1"),
    ],
)
def test_what_is_looked_for_often_is_found_by_an_index(statement: Any, values: dict[str, Any], index: str) -> None:
    engine = sa.create_engine("sqlite://")
    asked: list[tuple[str, Any]] = []
    with engine.begin() as connection:
        metadata.create_all(connection)
        sa.event.listen(engine, "before_cursor_execute", lambda *said: asked.append((said[2], said[3])))
        connection.execute(statement, values)
        text, parameters = asked[0]
        plan = " ".join(row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", parameters))
    engine.dispose()
    assert f"USING INDEX {index}" in plan or f"USING COVERING INDEX {index}" in plan
    assert "SCAN batch_lines" not in plan
    assert statement is not sql.CLAIM or "TEMP B-TREE" not in plan


def test_who_leases_lines_passes_over_those_that_another_one_is_taking() -> None:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    assert "FOR UPDATE SKIP LOCKED" in str(sql.CLAIM.compile(dialect=dialect))
    assert str(sql.NEXT.compile(dialect=dialect)).endswith("FOR SHARE")
    assert str(sql.ALONE.compile(dialect=dialect)).endswith("FOR NO KEY UPDATE")
    assert "FOR NO KEY UPDATE SKIP LOCKED" in str(sql.NEEDY.compile(dialect=dialect))


def test_lines_of_a_batch_are_named_with_the_range_they_stand_in() -> None:
    leases = [LineLease("b", number, 1) for number in (4, 2, 9)]
    assert sql.numbered(leases) == {"numbers": [4, 2, 9], "first": 2, "last": 9}
    assert sql.numbered([]) == {"numbers": [], "first": 0, "last": 0}


def test_a_lease_is_held_as_long_as_nobody_else_has_one_and_it_was_not_given_up() -> None:
    text = " ".join(str(condition) for condition in sql.is_held(BatchLease("b", 1)))
    assert all(name in text for name in ("batches.id", "batches.fence", "batches.holder", "ready_at IS NOT NULL"))
    assert sql.let_go(None) == {"holder": "", "ready_at": None}
