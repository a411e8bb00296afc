from __future__ import annotations

from pathlib import Path

from contract.databases import sqlite_url, store


async def test_each_database_has_a_realm_of_its_own_that_lasts(tmp_path: Path) -> None:
    realms = []
    for name in ("a", "b", "a"):
        (tmp_path / name).mkdir(exist_ok=True)
        records = store(sqlite_url(tmp_path / name))
        await records.open()
        realms.append(await records.files.realm())
        await records.close()
    assert realms[0] == realms[2] != realms[1]
