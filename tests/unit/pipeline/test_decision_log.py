from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from pointsman.ml.decisionlog import Rated, read
from pointsman.pipeline import decision_log as module
from pointsman.pipeline.decision_log import DecisionLog


def event(number: int) -> Rated:
    return Rated(id=f"r{number}", time=float(number), score=1.0)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@pytest.mark.requirement("routing.log.written")
async def test_events_are_written_in_their_order_into_a_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "decisions", "w1")
    for number in range(3):
        log.put(event(number))
    await log.flush()
    log.put(event(3))
    await log.flush()
    (file,) = (tmp_path / "decisions").iterdir()
    assert file.name == "decisions-00000001-w1.jsonl"
    assert [line[25:27] for line in file.read_bytes().splitlines()] == [b"r0", b"r1", b"r2", b"r3"]
    assert read(file.read_bytes().splitlines())[1] == 4
    assert file.stat().st_mode & 0o077 == 0
    assert file.parent.stat().st_mode & 0o077 == 0


async def test_nothing_queued_makes_no_file(tmp_path: Path) -> None:
    await DecisionLog(tmp_path / "decisions", "w1").flush()
    assert names(tmp_path) == []


def ids(directory: Path) -> list[str]:
    """Of all events that are there, file by file."""
    lines = [line for path in sorted(directory.iterdir()) for line in path.read_bytes().splitlines()]
    return [msgspec.json.decode(line)["id"] for line in lines]


def size(directory: Path) -> int:
    """Of all files together."""
    return sum(path.stat().st_size for path in directory.iterdir())


async def written(log: DecisionLog, *numbers: int) -> DecisionLog:
    for number in numbers:
        log.put(event(number))
        await log.flush()
    return log


@pytest.mark.requirement("routing.log.bounded")
async def test_a_full_file_is_followed_by_another_and_the_oldest_go(tmp_path: Path) -> None:
    await written(DecisionLog(tmp_path, "w1", max_file_bytes=100, max_bytes=220), *range(8))
    assert names(tmp_path) == ["decisions-00000003-w1.jsonl", "decisions-00000004-w1.jsonl"]
    assert ids(tmp_path) == ["r4", "r5", "r6", "r7"]


@pytest.mark.requirement("routing.log.bounded")
async def test_all_files_together_stay_within_the_bound_however_many_write(tmp_path: Path) -> None:
    logs = [DecisionLog(tmp_path, f"w{i}", max_file_bytes=1_000, max_bytes=1_500) for i in range(8)]
    for number in range(100):
        await written(logs[number % 8], number)
        assert size(tmp_path) <= 1_500
    assert ids(tmp_path).count("r99") == 1
    assert sum(log.dropped for log in logs) == 0


@pytest.mark.requirement("routing.log.bounded")
async def test_what_another_process_is_writing_is_never_deleted(tmp_path: Path) -> None:
    live = await written(DecisionLog(tmp_path, "w1"), 0)
    await written(DecisionLog(tmp_path, "w2", max_file_bytes=100, max_bytes=220), *range(1, 20))
    await written(live, 99)
    assert (names(tmp_path)[0], {"r0", "r99"} <= set(ids(tmp_path))) == ("decisions-00000001-w1.jsonl", True)


async def test_another_process_begins_the_next_file_and_another_start_goes_on_with_what_is_left(tmp_path: Path) -> None:
    first = await written(DecisionLog(tmp_path, "b"), 0)
    await (await written(DecisionLog(tmp_path, "a"), 1)).close()
    for restart in range(40):
        await (await written(DecisionLog(tmp_path, f"c{restart}"), 2 + restart)).close()
    assert names(tmp_path) == ["decisions-00000001-b.jsonl", "decisions-00000002-a.jsonl"]
    await first.close()
    await written(DecisionLog(tmp_path, "d"), 50)
    assert len(names(tmp_path)) == 2
    assert len(set(ids(tmp_path))) == 43


async def test_half_a_line_that_was_left_spoils_nothing_that_follows(tmp_path: Path) -> None:
    (tmp_path / "decisions-00000001-w0.jsonl").write_bytes(b'{"kind":"feed')
    await written(DecisionLog(tmp_path, "w1"), 0)
    half, whole = (tmp_path / "decisions-00000001-w0.jsonl").read_bytes().splitlines()
    assert (half, msgspec.json.decode(whole)["id"]) == (b'{"kind":"feed', "r0")


async def test_a_file_that_somebody_takes_away_is_begun_anew(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path, "w1")
    log.put(event(0))
    await log.flush()
    (tmp_path / "decisions-00000001-w1.jsonl").rename(tmp_path / "archived")
    log.put(event(1))
    await log.flush()
    assert names(tmp_path) == ["archived", "decisions-00000001-w1.jsonl"]


@pytest.mark.requirement("routing.log.bounded")
async def test_what_comes_while_the_queue_is_full_is_lost_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_QUEUED", 2)
    log = DecisionLog(tmp_path, "w1")
    for number in range(5):
        log.put(event(number))
    assert log.dropped == 3
    await log.flush()
    log.put(event(5))
    assert log.dropped == 3


async def test_what_cannot_be_written_is_counted_and_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    log = DecisionLog(tmp_path / "file", "w1")
    for number in range(3):
        log.put(event(number))
        await log.flush()
    assert (log.dropped, caplog.text.count("cannot be written")) == (3, 1)


async def test_it_writes_by_itself_until_it_is_cancelled(tmp_path: Path) -> None:
    log, turns = DecisionLog(tmp_path, "w1"), asyncio.Event()

    async def sleep(seconds: float) -> None:
        assert seconds > 0
        if names(tmp_path):
            turns.set()
        await asyncio.sleep(0)

    log.put(event(0))
    task = asyncio.create_task(log.run(sleep))
    async with asyncio.timeout(10):
        await turns.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
