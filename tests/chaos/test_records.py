"""Processes that are killed while they write rows."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
from chaos.records_process import START, opened

KILLS = int(os.environ.get("POINTSMAN_KILLS", "30"))
"""CI's; three hundred by hand."""
LONGEST = 0.06
"""Seconds that a process writes before it is killed."""
SCRIPT = Path(__file__).with_name("records_process.py")


class Writers:
    """Processes that write one after the other."""

    def __init__(self, path: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, SCRIPT, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def kill_one(self, first: int, seconds: float) -> int:
        """The last number that was acknowledged before it was killed; counted from its first one."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{first}\n")
        last, child = first - 1, 0
        for line in self._process.stdout:
            word, _, rest = line.strip().partition(" ")
            if word == "end":
                break
            if word == "process":
                child = int(rest)
                continue
            if last < first:
                threading.Timer(seconds, os.kill, (child, signal.SIGKILL)).start()
            last = int(word)
        return last

    def close(self) -> None:
        with self._process as process:
            assert process.stdin is not None
            process.stdin.close()


@pytest.mark.requirement("records.crash-safe")
async def test_whenever_a_process_is_killed_what_was_acknowledged_is_there_and_everything_is_whole(
    tmp_path: Path,
) -> None:
    path = tmp_path / "pointsman.db"
    chance = random.Random(7)
    writers = Writers(path)
    last = 0
    for _ in range(KILLS):
        said = writers.kill_one(last + 1, chance.uniform(0, LONGEST))
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            [count, last] = connection.execute("SELECT count(*), max(id) FROM keys").fetchone()
        last = int(last.removeprefix("k"))
        # The one that was being written when it was killed may be there already, with or without its spend.
        assert last in (said, said + 1)
        assert count == last
    writers.close()
    await check(path, last)


async def check(path: Path, last: int) -> None:
    """All rows belong together."""
    records = opened(path)
    await records.open()
    assert await records.verify_audit() is None
    [latest] = await records.audits(limit=1)
    assert latest.seq == last
    team = await records.get("teams", "last")
    assert team is not None
    assert (team.doc["n"], team.version) == (last, last)
    changes = await records.changed_since(0)
    assert changes is not None
    assert changes.number == 2 * last
    events = await records.spend_events(0, START * 2, limit=10 * last)
    [total] = await records.spend_by((), 0, START * 2)
    assert total.cost_nano_usd == sum(event.cost_nano_usd for event in events)
    assert total.requests == len(events)
    # An event that was not acknowledged is written again by the spool's reader; here nobody does.
    assert last - KILLS <= len(events) <= last
    await records.close()
