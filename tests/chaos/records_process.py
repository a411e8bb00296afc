"""Writes rows until it is killed: ``python records_process.py DATABASE``, and then a number to begin with on each line.

Each line begins a process of its own, whose id is printed first, then each number that was written, and ``end``.
"""

from __future__ import annotations

import asyncio
import os
import sys
from itertools import count
from pathlib import Path

from pointsman.store.base import Audit, Change, SpendEvent
from pointsman.store.settings import RecordSettings
from pointsman.store.sql import SqlRecords
from pointsman.store.sqlite import Sqlite
from pointsman.wire.secret import Secret

START = 1_700_000_000.0


def opened(path: Path) -> SqlRecords:
    """With deadlines that a busy machine keeps."""
    settings = RecordSettings(url=Secret(f"sqlite:///{path}"), read_seconds=60.0, write_seconds=60.0)
    return SqlRecords(Sqlite(settings), settings)


def say(text: object) -> None:
    os.write(1, f"{text}\n".encode())


async def write(path: Path, first: int) -> None:
    """Say a number only after its rows were acknowledged."""
    records = opened(path)
    await records.open()
    for number in count(first):
        key = f"k{number:09d}"
        audit = Audit(who="master", what="key.new", target=key, after={"n": number})
        await records.change([Change("keys", key, {"n": number}, 0), Change("teams", "last", {"n": number})], audit)
        await records.append_spend([SpendEvent(id=key, at=START + number, key_id=key, cost_nano_usd=number)])
        say(number)


def main() -> None:
    """Forks, for starting anew would take most of the time."""
    for line in sys.stdin:
        child = os.fork()
        if not child:
            asyncio.run(write(Path(sys.argv[1]), int(line)))
        say(f"process {child}")
        os.waitpid(child, 0)
        say("end")


if __name__ == "__main__":
    main()
