from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from pointsman.store.base import SpendEvent
from pointsman.store.spool import DAMAGED, MAX_DAMAGED, MAX_FRAME_EVENTS, Spool, SpoolFull, framed


def events(*numbers: int, content: str | None = None) -> list[SpendEvent]:
    return [
        SpendEvent(
            id=f"e{number}",
            at=float(number),
            cost_nano_usd=number,
            tags=("t",),
            content=None if content is None else {"text": content},
        )
        for number in numbers
    ]


def noise(size: int) -> str:
    """That does not pack well."""
    return os.urandom(size // 2).hex()


def drain(spool: Spool) -> list[SpendEvent]:
    found: list[SpendEvent] = []
    while (taken := spool.take()) is not None:
        for batch in taken.batches():
            found += batch
        taken.delete()
        taken.leave()
    return found


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool", "a")


def files(spool: Spool) -> list[Path]:
    return sorted(spool.directory.iterdir())


def test_nothing_is_there_before_something_is_written(spool: Spool) -> None:
    assert spool.take() is None
    assert not spool.directory.exists()


def test_what_was_written_is_read_in_order_and_once(spool: Spool) -> None:
    spool.write(events(1, 2))
    spool.write(events(3))
    assert drain(spool) == events(1, 2, 3)
    assert drain(spool) == []
    assert files(spool) == []


def test_only_the_owner_can_read_it(spool: Spool) -> None:
    spool.write(events(1, content="secret"))
    assert spool.directory.stat().st_mode & 0o777 == 0o700
    assert [path.stat().st_mode & 0o777 for path in files(spool)] == [0o600, 0o600]


def test_what_a_process_left_is_read_by_the_next(spool: Spool) -> None:
    spool.write(events(1))
    other = Spool(spool.directory, "b")
    assert other.take() is None
    spool.close()
    assert drain(other) == events(1)


def test_a_file_that_is_read_is_read_by_one(spool: Spool) -> None:
    spool.write(events(1))
    taken = spool.take()
    assert taken is not None
    assert Spool(spool.directory, "b").take() is None
    taken.leave()
    assert drain(Spool(spool.directory, "b")) == events(1)


def test_costs_come_first_and_contents_after_them(spool: Spool) -> None:
    spool.write([*events(1, content="x"), *events(2)])
    assert drain(spool) == [*events(1, 2), *events(1, content="x")]


def test_a_full_file_is_followed_by_another(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "a", max_file_bytes=1)
    for number in range(3):
        spool.write(events(number))
    assert len(files(spool)) == 3
    assert drain(spool) == events(0, 1, 2)


@pytest.mark.requirement("spend.spool")
def test_contents_go_first_the_oldest_before_and_costs_stay(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "a", max_bytes=40_000, max_file_bytes=9_000)
    for number in range(12):
        spool.write(events(number, content=noise(10_000)))
        assert sum(path.stat().st_size for path in files(spool)) <= 40_000
    found = drain(spool)
    whole = [event.id for event in found if event.content is not None]
    assert [event.id for event in found if event.content is None] == [f"e{number}" for number in range(12)]
    assert whole == [f"e{number}" for number in range(12 - len(whole), 12)]
    assert 0 < len(whole) < 12
    assert spool.contents_dropped == 12 - len(whole)


def test_a_content_that_never_fits_is_dropped_alone(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "a", max_bytes=1_000)
    spool.write(events(1, content=noise(5_000)))
    assert drain(spool) == events(1)
    assert spool.contents_dropped == 1


def test_when_it_is_full_of_costs_it_says_so_but_takes_the_last_ones(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "a", max_bytes=200)
    spool.write(events(1))
    with pytest.raises(SpoolFull):
        spool.write(events(*range(2, 100)))
    spool.write(events(*range(2, 100)), is_last=True)
    assert drain(spool) == events(*range(1, 100))


@pytest.mark.parametrize("cut", [1, 5, 9, 20])
def test_what_was_torn_at_the_end_is_passed_over(spool: Spool, cut: int, caplog: pytest.LogCaptureFixture) -> None:
    spool.write(events(1))
    spool.write(events(2))
    spool.close()
    [path] = files(spool)
    os.truncate(path, path.stat().st_size - cut)
    assert drain(spool) == events(1)
    assert "not whole" in caplog.text


@pytest.mark.requirement("spend.spool")
def test_damaged_bytes_cost_the_events_that_were_written_with_them_and_no_others(spool: Spool) -> None:
    spool.write(events(1))
    size = files(spool)[0].stat().st_size
    spool.write(events(2, 3))
    spool.write(events(4))
    spool.close()
    [path] = files(spool)
    data = bytearray(path.read_bytes())
    data[size + 20] ^= 0xFF
    path.write_bytes(data)
    taken = spool.take()
    assert taken is not None
    assert [event.id for batch in taken.batches() for event in batch] == ["e1", "e4"]
    assert (taken.is_whole, taken.lost) == (False, 2)
    taken.delete()
    # Somebody may want to look at it.
    assert [one.suffix for one in files(spool)] == [DAMAGED]
    assert files(spool)[0].read_bytes() == data
    assert spool.take() is None


def test_a_damaged_frame_is_not_believed_to_have_had_more_than_fits(spool: Spool) -> None:
    spool.write(events(1))
    spool.close()
    [path] = files(spool)
    data = bytearray(path.read_bytes())
    data[11], data[-1] = 0xFF, data[-1] ^ 0xFF
    path.write_bytes(data)
    taken = spool.take()
    assert taken is not None
    assert list(taken.batches()) == []
    assert taken.lost == MAX_FRAME_EVENTS


def test_few_damaged_files_are_kept(spool: Spool) -> None:
    for number in range(MAX_DAMAGED + 2):
        spool.write(events(number))
        spool.close()
        path = next(one for one in files(spool) if one.suffix != DAMAGED)
        os.truncate(path, path.stat().st_size - 1)
        assert drain(spool) == []
    assert [one.suffix for one in files(spool)] == [DAMAGED] * MAX_DAMAGED


def test_contents_that_cannot_be_read_are_no_events_that_are_lost(spool: Spool) -> None:
    spool.write(events(1, content="x"))
    spool.close()
    [whole] = [path for path in files(spool) if path.suffix == ".whole"]
    os.truncate(whole, whole.stat().st_size - 1)
    assert drain(spool) == events(1)
    assert [path.suffix for path in files(spool)] == [DAMAGED]


def test_what_was_written_quickly_is_read_like_all_else(spool: Spool) -> None:
    spool.write(events(1))
    spool.close()
    [path] = files(spool)
    with path.open("ab") as file:
        file.write(framed(events(2, content="x"), is_packed=False))
    assert drain(spool) == events(1, 2)


def test_events_of_another_shape_are_passed_over(spool: Spool, caplog: pytest.LogCaptureFixture) -> None:
    spool.write(events(1))
    spool.close()
    [path] = files(spool)
    frame = framed([{"id": 7}], has_content=True)  # type: ignore[list-item]
    path.write_bytes(frame + path.read_bytes())
    assert drain(spool) == events(1)
    assert "cannot be read" in caplog.text


def test_whatever_callers_say_is_written(spool: Spool) -> None:
    spool.write([SpendEvent(id="e", at=1.0, end_user="\ud800", metadata={"x": object()})])
    [found] = drain(spool)
    assert found.end_user == "?"


def test_half_a_frame_does_not_stay_in_the_file(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    spool.write(events(1))
    write = os.write

    def write_half(descriptor: int, data: bytes) -> int:
        if len(data) < 10:
            raise OSError(errno.ENOSPC, "no space")
        return write(descriptor, data[: len(data) // 2])

    monkeypatch.setattr(os, "write", write_half)
    with pytest.raises(OSError, match="no space"):
        spool.write(events(2))
    monkeypatch.undo()
    spool.write(events(3))
    assert drain(spool) == events(1, 3)


def test_a_file_that_somebody_deleted_is_not_gone_on_with(spool: Spool) -> None:
    spool.write(events(1))
    files(spool)[0].unlink()
    spool.write(events(2))
    assert drain(spool) == events(2)
