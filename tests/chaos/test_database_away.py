"""A PostgreSQL server that is killed or frozen while spend events come in."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from contract.databases import new_database, postgres_or_skip, store
from contract.postgres import PostgresServer

from pointsman.pipeline.spending import BATCH, Spending
from pointsman.store.base import Change, SpendEvent, StoreDown
from pointsman.store.spool import Spool
from pointsman.store.sql import SqlRecords

START = 1_700_000_000.0
DEADLINE = 0.3
PATIENCE = 60.0
ROUNDS = 20
PER_ROUND = 250


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    made = postgres_or_skip()
    yield made
    made.close()


def states(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the log says of the database: down and back, each time it changes."""
    said = [record.getMessage() for record in caplog.records if record.name == "pointsman.store.breaker"]
    return [text.split(":")[0].removeprefix("PostgreSQL is ") for text in said]


def put(spending: Spending, numbers: range) -> None:
    for number in numbers:
        spending.put(SpendEvent(id=f"e{number}", at=START + number, key_id=f"k{number % 9}", cost_nano_usd=number))


async def written(records: SqlRecords) -> int:
    """The cost of all events in the ledger, ``-1`` while it cannot be asked."""
    try:
        [total] = await records.spend_by((), 0, START * 2)
    except StoreDown:
        return -1
    return total.cost_nano_usd


@pytest.mark.requirement("records.away")
@pytest.mark.parametrize("fault", ["kill", "freeze"])
async def test_while_the_database_is_away_nothing_is_lost_or_waited_for_and_afterwards_everything_is_written(
    server: PostgresServer, tmp_path: Path, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    caplog.set_level(logging.WARNING)
    url = await new_database(server)
    first = store(url)
    await first.open()
    await first.change([Change("keys", "k1", {})])
    await first.close()
    records = store(url, read_seconds=DEADLINE, write_seconds=DEADLINE)
    spool = Spool(tmp_path / "spool", "a")
    spending = Spending(records, spool)
    put(spending, range(BATCH))
    await spending.flush()

    await asyncio.to_thread(server.kill if fault == "kill" else server.freeze)
    most = 0
    for number in range(ROUNDS):
        begin = BATCH + number * PER_ROUND
        put(spending, range(begin, begin + PER_ROUND))
        await spending.flush()
        most = max(most, spending.waiting)
        with pytest.raises(StoreDown):
            await records.get("keys", "k1")
    assert most == 0
    assert records.is_down
    assert states(caplog)[-1] == "down"

    await asyncio.to_thread(server.start if fault == "kill" else server.thaw)
    expected = sum(range(BATCH + ROUNDS * PER_ROUND))
    async with asyncio.timeout(PATIENCE):
        while await written(records) != expected:
            await spending.flush()
            await asyncio.sleep(0.05)
    assert await records.get("keys", "k1") is not None
    told = states(caplog)
    assert told[::2] == ["down"] * len(told[::2])
    assert told[1::2] == ["back"] * len(told[1::2])
    assert len(told) % 2 == 0
    await spending.close()
    assert list(spool.directory.iterdir()) == []
    assert spending.lost == spending.folded == 0
    await records.close()


async def test_a_frozen_server_does_not_hold_up_the_end(server: PostgresServer) -> None:
    records = store(await new_database(server), read_seconds=DEADLINE)
    await records.open()
    await records.wait_for_change(0)
    await asyncio.to_thread(server.freeze)
    with pytest.raises(StoreDown):
        await records.get("keys", "k1")
    async with asyncio.timeout(PATIENCE):
        await records.close()
