from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from files import make_files
from work import MemoryWork

from pointsman.batches.service import Batches
from pointsman.batches.settings import BatchSettings
from pointsman.edge.batches import batches_of
from pointsman.edge.context import Serving
from pointsman.errors import ObjectNotFound


async def test_the_service_is_made_when_somebody_asks(make_serving: Callable[..., Serving], tmp_path: Path) -> None:
    class Work:
        made = Batches(MemoryWork(), make_files(tmp_path), BatchSettings, lambda: "1")

        async def service(self) -> Batches:
            return self.made

        def drain(self) -> None: ...

    assert await batches_of(replace(make_serving(), batches=Work())) is Work.made


async def test_without_a_store_there_are_none(make_serving: Callable[..., Serving]) -> None:
    with pytest.raises(ObjectNotFound, match="no batches here"):
        await batches_of(make_serving())
