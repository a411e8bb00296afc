from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from files import make_files

from pointsman.batches.files import Files
from pointsman.edge.context import Serving
from pointsman.edge.files import files_of
from pointsman.errors import ObjectNotFound


async def test_files_are_opened_when_somebody_asks(make_serving: Callable[..., Serving], tmp_path: Path) -> None:
    class Access:
        made = make_files(tmp_path)

        async def files(self) -> Files:
            return self.made

    assert await files_of(replace(make_serving(), files=Access())) is Access.made


async def test_without_a_place_there_are_none(make_serving: Callable[..., Serving]) -> None:
    with pytest.raises(ObjectNotFound, match="no place for files"):
        await files_of(make_serving())
