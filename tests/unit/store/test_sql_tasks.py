"""What can be told without a database; the rest is in tests/contract."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import dialect, insert

from pointsman.store.schema import metadata
from pointsman.store.sql_tasks import SqlTasks, Work
from pointsman.store.tasks import TaskRow

TASK = TaskRow(agent="a", id="t", owner="me", changed_at=2.0, first_at=1.0, last_at=1.0)


async def test_it_looks_whose_rows_are_only_where_something_was_not_written() -> None:
    engine = sa.create_engine("sqlite://")
    metadata.create_all(engine)
    said: list[str] = []
    sa.event.listen(engine, "before_cursor_execute", lambda *given: said.append(given[2].split()[0]))

    async def read(_statement: Any) -> Any:
        raise AssertionError

    async def write(work: Work) -> None:
        with engine.begin() as connection:
            work(connection)

    tasks = SqlTasks(read, write, insert, dialect())
    await tasks.write([TASK], [])
    assert said == ["INSERT"]
    assert (await tasks.write([TaskRow(agent="a", id="t", owner="you", changed_at=9, first_at=9, last_at=9)], [])).tasks
    assert said == ["INSERT", "INSERT", "SELECT"]
    assert await tasks.get("a", "\0") is None
    assert await tasks.context("a", "\0") is None
    engine.dispose()
