from __future__ import annotations

import pytest

from pointsman.store import schema
from pointsman.store.base import COLUMNS, GROUPS, UNIQUE


@pytest.mark.parametrize("name", COLUMNS)
def test_each_admin_table_has_an_index_for_each_column_it_is_found_by(name: str) -> None:
    table = schema.ADMIN[name]
    indexed = {tuple(index.columns.keys()): index.unique for index in table.indexes}
    assert indexed == {
        (column,) if UNIQUE.get(name) == column else (column, "id"): UNIQUE.get(name) == column
        for column in COLUMNS[name]
    }


def test_the_ledger_is_by_time_and_its_sums_are_by_all_that_can_be_asked_for() -> None:
    assert schema.spend.primary_key.columns.keys() == ["at", "id"]
    assert schema.sums.primary_key.columns.keys() == ["span", "start", *GROUPS]
