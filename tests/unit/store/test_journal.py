from __future__ import annotations

import os
from pathlib import Path

import pytest

from pointsman.store.base import SpendEvent
from pointsman.store.journal import Journal
from pointsman.store.spool import Spool


def event(number: int) -> SpendEvent:
    return SpendEvent(id=f"e{number}", at=float(number), cost_nano_usd=number)


def left(directory: Path) -> list[str]:
    """What another process finds."""
    spool, found = Spool(directory, "other"), []
    while (taken := spool.take()) is not None:
        found += [one.id for batch in taken.batches() for one in batch]
        taken.delete()
    return found


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "spool", "a")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "spool"


def test_nothing_is_there_before_something_is_written(journal: Journal, directory: Path) -> None:
    journal.turn()
    journal.drop()
    journal.close()
    assert not directory.exists()


def test_nobody_reads_it_while_its_process_is_there(journal: Journal, directory: Path) -> None:
    journal.write([event(1), event(2)])
    assert left(directory) == []
    journal.close()
    assert left(directory) == ["e1", "e2"]
    assert list(directory.iterdir()) == []


def test_what_came_before_the_last_turn_goes_and_what_came_after_it_stays(journal: Journal, directory: Path) -> None:
    journal.write([event(1)])
    journal.turn()
    journal.write([event(2)])
    journal.drop()
    journal.write([event(3)])
    journal.close()
    assert left(directory) == ["e2", "e3"]


def test_nothing_goes_as_long_as_what_came_before_is_nowhere_else(journal: Journal, directory: Path) -> None:
    for number in range(3):
        journal.write([event(number)])
        journal.turn()
    journal.close()
    assert sorted(left(directory)) == ["e0", "e1", "e2"]


def test_its_files_are_used_again_and_go_with_it_when_they_are_empty(journal: Journal, directory: Path) -> None:
    names = set()
    for number in range(5):
        journal.write([event(number)])
        journal.turn()
        journal.drop()
        names |= {path.name for path in directory.iterdir()}
    assert len(names) == 2
    journal.close()
    assert list(directory.iterdir()) == []


def test_it_can_be_emptied(journal: Journal, directory: Path) -> None:
    journal.write([event(1)])
    journal.turn()
    journal.write([event(2)])
    journal.clear()
    journal.write([event(3)])
    journal.close()
    assert left(directory) == ["e3"]


def test_files_that_somebody_deleted_are_not_gone_on_with(journal: Journal, directory: Path) -> None:
    journal.write([event(1)])
    for path in directory.iterdir():
        path.unlink()
    journal.turn()
    journal.write([event(2)])
    journal.close()
    assert left(directory) == ["e2"]


def test_what_does_not_fit_on_the_disk_leaves_no_half_of_it(
    journal: Journal, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.write([event(1)])
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:20]))
    with pytest.raises(OSError, match="No space"):
        journal.write([event(2)])
    monkeypatch.undo()
    journal.write([event(3)])
    journal.close()
    assert left(directory) == ["e1", "e3"]
