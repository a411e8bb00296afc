from __future__ import annotations

from pathlib import Path

import pytest
import uvloop
from chaos.reloads import resident, under_load

CHANGES = 60
MIB = 12.0
"""By which memory may differ, with clients that come to be and buffers that grow."""


@pytest.mark.requirement("config.swap.load")
@pytest.mark.parametrize("workers", [1, 2])
def test_changes_under_load_fail_no_request_mix_no_view_and_keep_no_memory(tmp_path: Path, workers: int) -> None:
    async def run() -> None:
        async with under_load(tmp_path, workers) as (gateway, load, changes):
            for n in range(1, CHANGES + 1):
                await changes.change(n, is_broken=n % 20 == 7, is_watched=n % 25 == 0)
                if n == CHANGES // 3:
                    before = resident(gateway, workers)
            after = resident(gateway, workers)
            seen = await load.stop()
            assert (seen.faults, seen.mixed) == ([], [])
            assert len(seen.numbers) > CHANGES // 2
            assert changes.hashes() == {str(changes.status()["hash"])}
            assert after - before < MIB

    uvloop.run(run())
