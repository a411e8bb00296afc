"""Processes that are killed while they keep a config."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from chaos.kept_process import NAME, documents

from pointsman.config.kept import MAX_KEPT, LastGood

KILLS = 40
"""CI's; three hundred by hand, with KILLS = 300."""
LONGEST = 0.03
"""Seconds that a process keeps documents before it is killed."""
SCRIPT = Path(__file__).with_name("kept_process.py")


def kill_while_keeping(directory: Path, first: int, seconds: float) -> int:
    """The last number that was said to be kept."""
    process = subprocess.Popen(
        [sys.executable, SCRIPT, directory, str(first)], stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": ""}
    )
    with process:
        assert process.stdout is not None
        said = process.stdout.readline()
        timer = threading.Timer(seconds, process.kill)
        timer.start()
        lines = [said, *process.stdout]
        timer.join()
    whole = [line for line in lines if line.endswith("\n")]
    return int(whole[-1])


@pytest.mark.requirement("config.kept.whole")
def test_whenever_a_process_is_killed_what_is_kept_is_whole_and_not_older_than_it_said(tmp_path: Path) -> None:
    chance = random.Random(6)
    last = 0
    for _ in range(KILLS):
        said = kill_while_keeping(tmp_path, last + 1, chance.uniform(0, LONGEST))
        kept = LastGood(tmp_path, NAME)
        found = kept.latest()
        assert found is not None
        last = int(found.hash)
        # The one that was being kept when it was killed may be there already.
        assert last in (said, said + 1)
        assert found.fetched.documents == documents(last).documents
        before = kept.previous()
        assert before is None or int(before.hash) == last - 1
    assert len(list(tmp_path.glob("*.kept"))) <= MAX_KEPT + 1
    assert len(list(tmp_path.glob("*.draft"))) <= 1
