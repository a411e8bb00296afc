from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pointsman.access.settings import AccessSettings
from pointsman.assembly.site import Site
from pointsman.store.settings import RecordSettings
from pointsman.wire.secret import Secret


@pytest.mark.parametrize(
    ("environ", "is_shared", "key", "is_same"),
    [
        ({}, False, None, True),
        ({"POINTSMAN_SALT_KEY": "x" * 16}, True, None, True),
        ({}, True, "sk-master", True),
        ({}, True, None, False),
    ],
    ids=["by the data directory", "by the environment", "by the master key", "not at all"],
)
def test_processes_have_a_secret_in_common(
    rig: Any, tmp_path: Path, environ: Any, is_shared: bool, key: str | None, is_same: bool
) -> None:
    database = RecordSettings(url=Secret("postgresql://x/y")) if is_shared else None
    site: Site = replace(rig.site, environ=environ, data=tmp_path, database=database)
    access = AccessSettings(master_key=None if key is None else Secret(key))
    assert (site.secret(access) == site.secret(access)) is is_same


async def test_where_there_is_no_store_there_is_nothing_to_follow(rig: Any) -> None:
    assert await rig.site.feed() is None
