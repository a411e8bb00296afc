"""How long questions about spend take: ``python bench/ledger.py [--events N] [--url sqlite:///PATH]``.

Events are spread evenly over 30 days and over all of 1,000 keys and 5 models, which is the worst for the sums. Times
are the best and the worst of five, and the processor time of the best, for the machine may have other work.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any

from pointsman.store.base import Records, SpendEvent
from pointsman.store.opening import records
from pointsman.store.settings import RecordSettings
from pointsman.wire.secret import Secret

DAY = 86_400.0
DAYS = 30
START = 20_400 * DAY
END = START + DAYS * DAY
KEYS, TEAMS, USERS = 1_000, 50, 500
BATCH = 1_000
TIMES = 5


def key(number: int) -> str:
    return f"{number:064x}"


def events(count: int) -> Iterator[SpendEvent]:
    chance = random.Random(3)
    for number in range(count):
        owner = chance.randrange(KEYS)
        yield SpendEvent(
            id=f"{chance.getrandbits(128):032x}",
            at=START + number * DAYS * DAY / count,
            request_id=f"req-{number:020x}",
            operation="chat",
            key_id=key(owner),
            team_id=f"team-{owner % TEAMS}",
            user_id=f"user-{owner % USERS}",
            model=chance.choice("abcde"),
            provider="openai",
            deployment="deployment-1",
            upstream_model="gpt-4o",
            input_tokens=100,
            output_tokens=50,
            cost_nano_usd=chance.randrange(10**7),
            ended_at=START,
            address="10.0.0.1",
        )


def questions(store: Records) -> dict[str, Callable[[], Awaitable[Any]]]:
    by, log = store.spend_by, store.spend_events
    one = {"key_id": key(5)}
    return {
        "sums by team": partial(by, ("team_id",), START, END),
        "sums by key": partial(by, ("key_id",), START, END, limit=KEYS),
        "sums by day": partial(by, ("day",), START, END),
        "sums by hour": partial(by, ("hour",), START, END, limit=DAYS * 24),
        "sums by model, from and to any second": partial(by, ("model",), START + 5_000.5, END - 7_000.25),
        "sums by key and model of a team": partial(by, ("key_id", "model"), START, END, {"team_id": "team-7"}),
        "spent by a key since any second": partial(store.spent_since, one, START + 1_234.5),
        "log, first page": partial(log, START, END),
        "log, a page in the middle": partial(log, START, END, after=(START + DAYS * DAY / 2, "")),
        "log of a key": partial(log, START, END, one),
        "log of a key and a model": partial(log, START, END, {**one, "model": "a"}),
        "log of a team": partial(log, START, END, {"team_id": "team-7"}),
        "log of a request": partial(log, START, END, {"request_id": f"req-{777:020x}"}),
        "log of a failure that never was": partial(log, START, END, {"status": "x"}),
    }


async def measure(url: str, count: int) -> None:
    store = records(RecordSettings(url=Secret(url), read_seconds=60.0, write_seconds=60.0, report_seconds=60.0))
    await store.open()
    begin, source = time.perf_counter(), events(count)
    while batch := list(islice(source, BATCH)):
        await store.append_spend(batch)
    took = time.perf_counter() - begin
    print(f"{count} events appended in {took:.0f} s, {count / took:.0f}/s")
    await store.sweep(events_before=0.0)
    for name, ask in questions(store).items():
        walls, processors = [], []
        for _ in range(TIMES):
            wall, processor = time.perf_counter(), time.process_time()
            await ask()
            walls.append((time.perf_counter() - wall) * 1e3)
            processors.append((time.process_time() - processor) * 1e3)
        print(f"{name:40} {min(walls):8.1f} {max(walls):8.1f} ms  processor {min(processors):8.1f} ms")
    await store.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--url")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(measure(options.url or f"sqlite:///{directory}/pointsman.db", options.events))


if __name__ == "__main__":
    main()
