"""What can be told without a database; the rest is in tests/contract."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest

from pointsman.store.base import Audit, Change, Refused
from pointsman.store.settings import sqlite_in
from pointsman.store.sql import SqlRecords
from pointsman.store.sqlite import Sqlite


@pytest.fixture
async def records(tmp_path: Path) -> AsyncIterator[SqlRecords]:
    settings = sqlite_in(tmp_path)
    made = SqlRecords(Sqlite(settings), settings, now=lambda: 1234.5)
    await made.open()
    yield made
    await made.close()


async def test_audit_rows_have_the_time_of_their_writing(records: SqlRecords) -> None:
    await records.change([], Audit(who="master", what="key.new", target="k"))
    [row] = await records.audits()
    assert row.at == 1234.5


async def test_a_column_keeps_the_text_of_a_value(records: SqlRecords) -> None:
    await records.change([Change("keys", "k", {"team_id": 7, "parent": Decimal("1.5")})])
    assert [row.id for row in await records.find("keys", {"team_id": "7", "parent": "1.5"})] == ["k"]


@pytest.mark.parametrize("impossible", ["a\0", "\udfff"])
async def test_a_key_that_cannot_be_stored_is_refused_before_the_database_sees_it(
    records: SqlRecords, impossible: str
) -> None:
    with pytest.raises(Refused, match="characters"):
        await records.change([Change("keys", impossible, None)])
