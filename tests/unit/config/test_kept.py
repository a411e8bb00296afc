from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pointsman.config import kept as module
from pointsman.config.kept import MAX_FILES, MAX_KEPT, LastGood
from pointsman.config.sources.base import Fetched, Version

NAME = "s3://b/c.yaml"


def documents(text: str, name: str = NAME) -> Fetched:
    data = {name: text.encode(), "s3://b/more.yaml": b"\x00\xff"}
    return Fetched(kind="s3", name=name, main=name, documents=data, absent={"x": "why"}, version=Version(text, 7.0))


@pytest.fixture
def kept(tmp_path: Path) -> LastGood:
    return LastGood(tmp_path / "data" / "last-good", NAME, lambda: 9.0)


def texts(kept: LastGood) -> list[str]:
    """The newest first."""
    found = (kept.previous(n) for n in range(MAX_KEPT + 1))
    return [one.fetched.documents[NAME].decode() for one in found if one is not None]


def test_nothing_is_kept_at_first(kept: LastGood) -> None:
    assert kept.latest() is None
    assert kept.previous() is None
    assert not kept.directory.exists()


@pytest.mark.requirement("config.kept.whole")
def test_what_is_kept_comes_back_as_it_was(kept: LastGood) -> None:
    kept.keep(documents("a"), "h")
    found = kept.latest()
    assert found is not None
    assert found.fetched == msgspec.structs.replace(documents("a"), kind="last good")
    assert (found.hash, found.at, found.refused) == ("h", 9.0, "")


@pytest.mark.requirement("config.kept.private")
def test_only_its_owner_may_read_it(kept: LastGood) -> None:
    kept.keep(documents("a"), "h")
    (file,) = kept.directory.glob("*.kept")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.directory.stat().st_mode) == 0o700


def test_what_is_in_force_already_is_not_written_again(kept: LastGood) -> None:
    for _ in range(3):
        kept.keep(documents("a"), "h")
    assert texts(kept) == ["a"]


@pytest.mark.requirement("config.kept.history")
def test_the_last_ones_can_be_gone_back_to_and_older_ones_are_forgotten(kept: LastGood) -> None:
    for n in range(MAX_KEPT + 3):
        kept.keep(documents(str(n)), f"h{n}")
    assert texts(kept) == ["7", "6", "5", "4", "3"]
    assert len(list(kept.directory.glob("*.kept"))) == MAX_KEPT


@pytest.mark.requirement("config.kept.history")
def test_going_back_is_remembered_with_what_was_refused(kept: LastGood) -> None:
    kept.keep(documents("good"), "h1")
    kept.keep(documents("bad"), "h2")
    before = kept.previous()
    assert before is not None
    kept.keep(before.fetched, before.hash, refused="bad")
    latest = kept.latest()
    assert latest is not None
    assert (latest.hash, latest.refused) == ("h1", "bad")
    kept.keep(before.fetched, before.hash)
    latest = kept.latest()
    assert latest is not None
    assert latest.refused == ""


@pytest.mark.requirement("config.kept.history")
def test_going_back_costs_none_of_the_history(kept: LastGood) -> None:
    for name in "abcde":
        kept.keep(documents(name), name)
    kept.keep(documents("d"), "d", refused="e", left=["e"])
    assert texts(kept) == ["d", "e", "c", "b", "a"]
    assert len(list(kept.directory.glob("*.kept"))) == MAX_KEPT


def test_documents_whose_variables_have_changed_are_the_same_ones(kept: LastGood) -> None:
    kept.keep(documents("a"), "h1")
    kept.keep(documents("a"), "h2")
    assert texts(kept) == ["a"]


def test_what_a_killed_process_could_not_remove_is_there_once(kept: LastGood, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(LastGood, "_prune", lambda _: None)
        for name in "aba":
            kept.keep(documents(name), name)
    assert len(list(kept.directory.glob("*.kept"))) == 3
    assert texts(kept) == ["a", "b"]


@pytest.mark.parametrize(
    ("etag", "more"), [("a", {"refused": "x"}), ("a", {"left": ["b"]}), ("a", {"problem": "why"}), ("a2", {})]
)
def test_a_fact_that_is_new_is_written(kept: LastGood, etag: str, more: dict[str, Any]) -> None:
    kept.keep(documents("b"), "b")
    kept.keep(documents("a"), "a")
    fetched = msgspec.structs.replace(documents("a"), version=Version(etag, 7.0))
    kept.keep(fetched, "a", **more)
    latest = kept.latest()
    assert latest is not None
    wanted = {"refused": "", "left": (), "problem": ""} | more
    assert latest.fetched.version.etag == etag
    assert (latest.refused, list(latest.left), latest.problem) == tuple(
        list(value) if name == "left" else value for name, value in wanted.items()
    )


def test_what_was_left_is_remembered_as_long_as_it_is_kept(kept: LastGood) -> None:
    for n in range(MAX_KEPT):
        kept.keep(documents(str(n)), f"h{n}")
    kept.keep(documents("new"), "new", left=["h0", "h4", "never kept"])
    kept.keep(documents("newer"), "newer", left=["h0", "h4"])
    latest = kept.latest()
    assert latest is not None
    assert latest.left == ("h4",)


def test_each_source_has_a_history_of_its_own_and_all_together_are_bounded(tmp_path: Path) -> None:
    for n in range(MAX_FILES + 5):
        name = f"s3://b/{n}"
        LastGood(tmp_path, name).keep(documents("a", name), "h")
    assert LastGood(tmp_path, "s3://b/0").latest() is None
    last = LastGood(tmp_path, f"s3://b/{MAX_FILES + 4}").latest()
    assert last is not None
    assert last.fetched.name == f"s3://b/{MAX_FILES + 4}"
    assert len(list(tmp_path.glob("*.kept"))) == MAX_FILES


def test_the_only_one_of_a_quiet_source_outlives_what_busy_ones_had_before(tmp_path: Path) -> None:
    LastGood(tmp_path, "s3://b/quiet").keep(documents("a", "s3://b/quiet"), "h")
    busy = [f"s3://b/{n}" for n in range(MAX_FILES // MAX_KEPT + 2)]
    for name in busy:
        for n in range(MAX_KEPT):
            LastGood(tmp_path, name).keep(documents(str(n), name), f"h{n}")
    assert all(LastGood(tmp_path, name).latest() is not None for name in ("s3://b/quiet", *busy))
    assert len(list(tmp_path.glob("*.kept"))) == MAX_FILES


@pytest.mark.requirement("config.kept.whole")
@pytest.mark.parametrize("spoil", [lambda data: data[:-1], lambda data: data[:100] + b"!" + data[101:], lambda _: b""])
def test_what_a_disk_has_spoilt_is_passed_over(kept: LastGood, spoil: object) -> None:
    assert callable(spoil)
    kept.keep(documents("a"), "h1")
    kept.keep(documents("b"), "h2")
    newest = max(kept.directory.glob("*.kept"))
    newest.write_bytes(spoil(newest.read_bytes()))
    assert texts(kept) == ["a"]
    kept.keep(documents("c"), "h3")
    assert texts(kept) == ["c", "a"]


def test_other_files_do_no_harm(kept: LastGood) -> None:
    kept.directory.mkdir(parents=True)
    kept.keep(documents("a"), "h")
    (ours,) = kept.directory.glob("*.kept")
    mark = ours.name[10:]
    names = ("notes.kept", "0000000999 (copy)" + mark, "000000000²" + mark, ours.name + ".kept")
    for name in names:
        (kept.directory / name).write_text("mine")
    kept.keep(documents("b"), "h2")
    assert texts(kept) == ["b", "a"]
    assert all((kept.directory / name).exists() for name in names)


@pytest.mark.requirement("config.kept.whole")
@pytest.mark.parametrize(("where", "name"), [("os", "open"), ("os", "fdopen"), ("os", "fsync"), ("Path", "replace")])
@pytest.mark.parametrize("nth", [0, 1, 2])
def test_a_disk_that_fails_at_any_point_leaves_the_old_or_the_new_one(
    kept: LastGood, monkeypatch: pytest.MonkeyPatch, where: str, name: str, nth: int
) -> None:
    kept.keep(documents("old"), "h1")
    owner = {"os": os, "Path": Path}[where]
    real, calls = getattr(owner, name), iter(range(100))

    def fails(*args: object, **more: object) -> object:
        if next(calls) == nth:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, fails)
        try:
            kept.keep(documents("new"), "h2")
            is_kept = True
        except OSError:
            is_kept = False
    assert texts(kept) in ([["new", "old"]] if is_kept else [["old"], ["new", "old"]])
    kept.keep(documents("newer"), "h3")
    assert texts(kept)[0] == "newer"
    assert not list(kept.directory.glob("*.draft"))


def test_a_writer_that_does_not_end_is_not_waited_for(kept: LastGood, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOCK_SECONDS", 0.0)
    kept.keep(documents("a"), "h")
    with (kept.directory / ".lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(OSError, match="unavailable"):
            kept.keep(documents("b"), "h2")
    assert texts(kept) == ["a"]
