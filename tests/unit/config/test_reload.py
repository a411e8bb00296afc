from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import pytest

from pointsman.config import starting
from pointsman.config.kept import LastGood
from pointsman.config.loading import load_fetched
from pointsman.config.outcomes import MAX_ERROR_CHARS, MAX_ERRORS, Refused
from pointsman.config.reload import ALONE, GIVEN_UP, HELD, NOTHING_BEFORE, UNCHECKED, Reloader
from pointsman.config.snapshot import Snapshot
from pointsman.config.sources.base import Fetched, SourceCounts, SourceDown, Version
from pointsman.config.sources.file import FileSource
from pointsman.config.sources.settings import SyncSettings
from pointsman.config.starting import Origin
from pointsman.wire.secret import Secret

NAME = "s3://bucket/config.yaml"
ENTRY = "model_list: [{{model_name: {}, litellm_params: {{model: openai/x, api_key: sk-canary-0001}}}}]\n"
BROKEN = "model_list: 7\n"
AUTOMATIC = "general_settings: {master_key: auto}\n"


def documents(text: str) -> Fetched:
    version = Version(etag=f'"{text}"', fetched=5.0)
    return Fetched(kind="s3", name=NAME, main=NAME, documents={NAME: text.encode()}, version=version)


class FakeSource:
    """A bucket that has what the test puts there."""

    kind: Literal["s3"] = "s3"
    name = NAME

    def __init__(self, text: str) -> None:
        self.text = text
        self.counts = SourceCounts()
        self.asked: list[str | None] = []
        self.is_down = False
        self.is_hanging = False

    async def fetch(self, known: Version | None) -> Fetched | None:
        self.asked.append(None if known is None else known.etag)
        if self.is_hanging:
            await asyncio.Event().wait()
        if self.is_down:
            raise SourceDown("the bucket does not answer", "look at the network")
        found = documents(self.text)
        return None if known is not None and known.etag == found.version.etag else found


class FakePeers:
    """The other workers, who answer as the test says."""

    pid = 1

    def __init__(self) -> None:
        self.told: list[Mapping[str, Any]] = []
        self.asked: list[Mapping[str, Any]] = []
        self.answers: list[Mapping[str, Any]] = []
        self.known: list[Mapping[str, Any]] = []

    def tell(self, state: Mapping[str, Any]) -> None:
        self.told.append(state)

    def states(self) -> list[Mapping[str, Any]]:
        return self.known or ([{"pid": 2, "hash": "old"}] if self.answers else [])

    async def ask(self, what: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        self.asked.append(what)
        return self.answers


class Rig:
    """A reloader and all that it has to do with."""

    def __init__(self, folder: Path, text: str = ENTRY.format("a"), **settings: Any) -> None:
        self.source = FakeSource(text)
        self.kept = LastGood(folder, NAME)
        self.peers = FakePeers()
        self.put: list[str] = []
        self.checked: list[bool] = []
        self.refusal: Exception | None = None
        self.now = 9.0
        self.is_slow = False
        self.notes: list[str] = []
        self.first = documents(text)
        snapshot = load_fetched(self.first, {}).snapshot
        assert snapshot is not None
        if snapshot.is_master_key_automatic:
            snapshot = snapshot.with_master_key(Secret("sk-made"))
        self.kept.keep(self.first, snapshot.hash)
        self.settings = SyncSettings(**settings)
        self.reloader = self.made(snapshot)

    def restart(self, problem: str | None = None, *, is_heir: bool = False) -> None:
        """Begin with what is kept."""
        last = self.kept.latest()
        assert last is not None
        self.first = last.fetched
        snapshot = load_fetched(last.fetched, {}).snapshot
        assert snapshot is not None
        more = {"refused": last.refused, "left": last.left, "problem": problem, "is_heir": is_heir}
        self.reloader = self.made(snapshot, **more)

    def made(self, snapshot: Snapshot, **more: Any) -> Reloader:
        known: dict[str, Any] = {"source": self.source, "kept": self.kept, "fetched": self.first}
        origin = Origin(environ={"POINTSMAN_REPLICA": "one"}, settings=self.settings, **known, **more)
        return Reloader(origin, snapshot, self._put, self.peers, complete=self._complete, now=lambda: self.now)

    async def _put(self, snapshot: Snapshot, *, is_checked: bool) -> list[str]:
        self.checked.append(is_checked)
        if self.is_slow:
            await asyncio.Event().wait()
        if self.refusal is not None:
            raise self.refusal
        self.put.append(",".join(one.model_name for one in snapshot.deployments))
        return self.notes

    def _complete(self, snapshot: Snapshot) -> Snapshot:
        if any(one.model_name == "open" for one in snapshot.deployments):
            raise Refused("it would be open to everybody")
        return snapshot

    def kept_hash(self, n: int) -> str:
        """Of what was in force ``n`` changes ago."""
        kept = self.kept.previous(n)
        assert kept is not None
        return kept.hash

    async def change(self, name: str, **more: Any) -> dict[str, Any]:
        self.source.text = ENTRY.format(name)
        return await self.reloader.reload("test", **more)


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


@pytest.mark.requirement("config.reload.change")
async def test_a_change_is_put_in_force_kept_and_told(rig: Rig) -> None:
    told = await rig.change("b")
    assert rig.put == ["b"]
    assert (told["status"], told["reloaded"], told["errors"], told["number"]) == ("success", ["config"], [], 2)
    assert told["changes"]
    assert "sk-canary" not in str(told)
    latest = rig.kept.latest()
    assert latest is not None
    assert latest.hash == told["hash"] == rig.reloader.counts.hash == rig.peers.told[-1]["hash"]
    assert rig.reloader.counts.reloads == 1


@pytest.mark.requirement("config.reload.no-op")
async def test_an_equal_document_changes_nothing(rig: Rig) -> None:
    assert (await rig.change("a"))["reloaded"] == []
    rig.source.text += "# only a remark\n"
    told = await rig.reloader.reload("test")
    assert (told["status"], told["reloaded"], told["number"]) == ("success", [], 1)
    assert rig.put == []
    assert rig.source.asked == [rig.first.version.etag] * 2


@pytest.mark.requirement("config.reload.broken")
async def test_a_broken_document_changes_nothing_and_is_told_with_its_place(rig: Rig) -> None:
    rig.source.text = BROKEN
    told = await rig.reloader.reload("somebody")
    assert (told["status"], told["reloaded"], told["number"]) == ("failed", [], 1)
    assert told["errors"] == [f"{NAME}:1:13: error: model_list: must be a list, not a number"]
    status = rig.reloader.status()
    assert status["last_error"] == {"errors": told["errors"], "at": 9.0}
    assert (status["failures"], status["is_source_in_force"], status["asked_by"]) == (1, False, "somebody")
    assert rig.reloader.counts.is_broken
    assert (await rig.change("a"))["status"] == "success"
    assert rig.reloader.status()["last_error"] is None
    assert rig.put == []


@pytest.mark.parametrize("refusal", [Refused("no checkpoint"), RuntimeError("a bug")], ids=["refused", "bug"])
async def test_what_cannot_be_put_in_force_is_tried_again_when_somebody_asks(rig: Rig, refusal: Exception) -> None:
    rig.refusal = refusal
    told = await rig.change("b")
    assert (told["status"], told["number"]) == ("failed", 1)
    assert "a bug" not in str(told)
    rig.refusal = None
    assert (await rig.reloader.reload("test"))["number"] == 2


async def test_what_this_process_must_not_serve_is_refused(rig: Rig) -> None:
    assert (await rig.change("open"))["errors"] == ["it would be open to everybody"]
    assert rig.put == []


async def test_notes_of_what_was_put_in_force_are_told(rig: Rig) -> None:
    rig.notes = ["canary check: x"]
    assert "canary check: x" in (await rig.change("b"))["notes"]


async def test_a_source_that_is_down_changes_nothing(rig: Rig) -> None:
    rig.source.is_down = True
    assert (await rig.reloader.reload("test"))["errors"] == ["the bucket does not answer (look at the network)"]


async def test_force_sync_asks_without_a_version(rig: Rig) -> None:
    await rig.reloader.reload("test", has_to_fetch=True)
    assert rig.source.asked == [None]


async def test_the_key_that_the_gateway_has_made_stays(tmp_path: Path) -> None:
    rig = Rig(tmp_path, ENTRY.format("a") + AUTOMATIC)
    rig.source.text = ENTRY.format("b") + AUTOMATIC
    assert (await rig.reloader.reload("test"))["status"] == "success"
    assert rig.reloader.current.access.master_key == Secret("sk-made")
    assert rig.reloader.current.is_master_key_automatic


@pytest.mark.requirement("config.reload.rollback")
async def test_a_rollback_holds_until_the_source_changes(rig: Rig) -> None:
    await rig.change("b")
    await rig.change("c")
    assert (await rig.reloader.rollback("test"))["status"] == "success"
    assert rig.put[-1] == "b"
    assert rig.reloader.status()["is_held"]
    assert (await rig.reloader.reload("test"))["reloaded"] == []
    rig.source.text += "# another version\n"
    assert (await rig.reloader.reload("test"))["reloaded"] == ["config"]
    assert rig.put[-1] == "c"
    assert not rig.reloader.status()["is_held"]


async def test_going_back_twice_goes_back_two_steps(rig: Rig) -> None:
    await rig.change("b")
    await rig.change("c")
    assert [(await rig.reloader.rollback("test"))["status"] for _ in range(3)] == ["success", "success", "failed"]
    assert rig.put == ["b", "c", "b", "a"]
    assert (await rig.reloader.rollback("test"))["errors"] == [NOTHING_BEFORE]
    assert rig.reloader.errors == []


async def test_going_back_reaches_all_that_is_kept_also_over_restarts(rig: Rig) -> None:
    for name in "bcde":
        await rig.change(name)
    rig.put.clear()
    for _ in range(4):
        assert (await rig.reloader.rollback("test"))["reloaded"] == ["config"]
        rig.restart()
    assert rig.put == ["d", "c", "b", "a"]
    assert (await rig.reloader.rollback("test"))["errors"] == [NOTHING_BEFORE]


async def test_what_was_gone_back_from_is_passed_over_until_the_source_has_it_again(rig: Rig) -> None:
    await rig.change("b")
    await rig.reloader.rollback("test")
    await rig.change("c")
    await rig.reloader.rollback("test")
    assert rig.put == ["b", "a", "c", "a"]
    await rig.change("b")
    await rig.change("d")
    await rig.reloader.rollback("test")
    assert rig.put[4:] == ["b", "d", "b"]


async def test_going_back_says_nothing_of_a_source_that_is_broken(rig: Rig) -> None:
    await rig.change("b")
    rig.source.text = BROKEN
    broken = (await rig.reloader.reload("test"))["errors"]
    assert (await rig.reloader.rollback("test"))["status"] == "success"
    status = rig.reloader.status()
    assert (status["last_error"]["errors"], status["failures"], status["is_source_in_force"]) == (broken, 1, False)
    assert rig.reloader.counts.is_broken
    assert (await rig.reloader.rollback("test"))["errors"] == [NOTHING_BEFORE]
    assert rig.reloader.errors == broken
    await rig.change("b")
    assert rig.put == ["b", "a", "b"]
    assert not rig.reloader.counts.is_broken


async def test_what_is_kept_and_told_badly_is_in_force_all_the_same(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr(LastGood, "keep", fails)
    monkeypatch.setattr("pointsman.config.reload.changes", fails)
    told = await rig.change("b")
    assert (told["status"], told["reloaded"], told["errors"]) == ("success", ["config"], [])
    assert [note.rpartition(": ")[2] for note in told["notes"]] == ["ValueError"] * 2
    assert (rig.reloader.counts.reloads, rig.reloader.counts.is_broken) == (1, False)


async def test_what_was_gone_back_from_can_be_forced(rig: Rig) -> None:
    await rig.change("b")
    await rig.reloader.rollback("test")
    rig.source.text += ""
    assert (await rig.reloader.reload("test", has_to_fetch=True))["reloaded"] == ["config"]
    assert rig.put == ["b", "a", "b"]


async def test_a_rollback_is_remembered_over_a_restart(rig: Rig) -> None:
    await rig.change("b")
    await rig.reloader.rollback("test")
    for _ in range(2):
        rig.restart()
        assert rig.reloader.status()["is_held"]
        told = await rig.reloader.reload("test")
        assert (told["reloaded"], told["notes"], told["number"]) == ([], [HELD], 1)
    await rig.change("c")
    assert rig.put == ["b", "a", "c"]
    assert not rig.reloader.status()["is_held"]


async def test_going_back_further_after_a_restart_is_from_what_the_source_has(rig: Rig) -> None:
    await rig.change("b")
    await rig.change("c")
    await rig.reloader.rollback("test")
    rig.restart()
    assert (await rig.reloader.rollback("test"))["reloaded"] == ["config"]
    assert (await rig.reloader.reload("test"))["notes"] == [HELD]
    assert rig.put == ["b", "c", "b", "a"]


@pytest.mark.parametrize("is_down", [True, False])
async def test_going_back_holds_where_the_process_began_with_what_is_kept(rig: Rig, is_down: bool) -> None:
    await rig.change("b")
    rig.restart(problem="the bucket does not answer" if is_down else None)
    assert (await rig.reloader.rollback("test"))["reloaded"] == ["config"]
    assert (await rig.reloader.reload("test"))["notes"] == [HELD]
    assert rig.put == ["b", "a"]
    assert rig.reloader.status()["last_error"] is None
    assert rig.reloader.status()["is_held"]


@pytest.mark.requirement("config.reload.workers")
async def test_other_workers_do_the_same_and_those_that_fail_are_told(rig: Rig) -> None:
    rig.peers.answers = [{"pid": 2, "status": "failed", "errors": ["its disk is full"], "hash": "old"}]
    told = await rig.change("b", has_to_fetch=True)
    assert rig.peers.asked == [{"do": "reload", "who": "test", "force": True}]
    assert (told["status"], told["errors"]) == ("partial", ["worker 2: its disk is full"])
    assert [(one["pid"], one["is_this"]) for one in told["workers"]] == [(1, True), (2, False)]


async def test_who_does_not_answer_is_told_as_he_was_last(rig: Rig) -> None:
    rig.peers.answers = [{"pid": 2, "status": "failed", "errors": ["did not answer"]}]
    told = await rig.change("b")
    assert told["status"] == "partial"
    assert told["workers"][1] == {
        "pid": 2,
        "hash": "old",
        "status": "failed",
        "errors": ["did not answer"],
        "is_this": False,
    }


async def test_going_back_is_one_fact_for_all_workers(rig: Rig) -> None:
    left = rig.reloader.current.hash
    await rig.change("b")
    bad = rig.reloader.current.hash
    etag = documents(rig.source.text).version.etag
    await rig.reloader.rollback("test")
    asked = rig.peers.asked[-1]
    assert asked == {"do": "rollback", "who": "test", "hash": left, "refused": etag, "left": [bad]}
    # A worker that had the right one all the time holds it from now on.
    other = rig.made(rig.reloader.current)
    assert (await other.answer(asked))["is_held"]
    assert (await other.reload("test"))["notes"] == [HELD]
    assert (await other.rollback("test"))["errors"] == [NOTHING_BEFORE]


async def test_a_new_worker_takes_up_what_came_into_force_while_it_began(tmp_path: Path) -> None:
    rig = Rig(tmp_path, has_hot_reload=False)
    await rig.change("b")
    older = rig.reloader
    rig.restart(is_heir=True)
    await older.rollback("test")
    rig.put.clear()
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    await rig.reloader.watch(sleep)
    assert (slept, rig.put) == ([0.5], ["a"])
    assert (await rig.reloader.reload("test"))["notes"] == [HELD]
    await rig.reloader.watch(sleep)
    assert rig.put == ["a"]
    rig.restart(is_heir=True)
    rig.source.text = ENTRY.format("c")
    await older.reload("test")
    rig.put.clear()
    await rig.reloader.watch(sleep)
    await rig.reloader.rollback("test")
    assert (await rig.reloader.reload("test"))["notes"] == [HELD]
    assert rig.put == ["c", "a"]


async def test_what_another_worker_asks_for_is_done_and_not_passed_on(rig: Rig) -> None:
    rig.source.text = ENTRY.format("b")
    answer = await rig.reloader.answer({"do": "reload", "who": "SIGHUP", "force": False})
    assert (answer["status"], answer["number"], answer["pid"]) == ("success", 2, 1)
    before = rig.first
    back = load_fetched(before, {}).snapshot
    assert back is not None
    answer = await rig.reloader.answer({"do": "rollback", "who": "test", "hash": back.hash})
    assert (answer["hash"], rig.put) == (back.hash, ["b", "a"])
    assert (await rig.reloader.answer({"do": "rollback", "hash": "nobody's"}))["status"] == "failed"
    assert rig.peers.asked == []
    assert rig.reloader.asked_by == ""


@pytest.mark.requirement("config.status")
async def test_the_status_has_the_fields_of_the_seed_and_more(rig: Rig) -> None:
    rig = Rig(rig.kept.directory, interval=30.0)
    status = rig.reloader.status()
    wanted = {
        "enabled": True,
        "hot_reload_enabled": True,
        "sync_interval_seconds": 30,
        "reload_count": 0,
        "last_sync_time": 5.0,
        "running": False,
        "number": 1,
    }
    assert {name: status[name] for name in wanted} == wanted
    assert status["replica"] == "one"
    assert status["replicas"] == [
        {"replica": "one", "is_this": True, "hash": status["hash"], "number": 1, "workers": 1}
    ]
    assert status["s3"] == {"enabled": False, "bucket": None, "key": None, "last_etag": None}
    assert status["hash"] == rig.reloader.current.hash


async def test_a_bucket_is_looked_at_every_interval(rig: Rig) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        assert rig.reloader.status()["running"]
        rig.source.text = ENTRY.format("b")
        if len(slept) == 2:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await rig.reloader.watch(sleep)
    assert (slept, rig.put, rig.reloader.asked_by) == ([60.0, 60.0], ["b"], "")
    assert not rig.reloader.status()["running"]


@pytest.mark.parametrize("settings", [{"is_enabled": False}, {"has_hot_reload": False}])
async def test_a_bucket_is_left_alone_where_the_operator_says_so(tmp_path: Path, settings: dict[str, Any]) -> None:
    rig = Rig(tmp_path, **settings)
    await rig.reloader.watch()
    assert rig.source.asked == []


@pytest.mark.requirement("config.kept.cold-start")
@pytest.mark.parametrize("settings", [{"is_enabled": False}, {"has_hot_reload": False}])
async def test_a_start_without_its_source_goes_on_until_that_is_in_force(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    rig = Rig(tmp_path, **settings)
    rig.restart("the bucket gave no answer")
    assert rig.reloader.status()["last_error"] == {"errors": ["the bucket gave no answer"], "at": 9.0}
    rig.source.is_down = True
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        rig.source.is_down = False
        rig.source.text = BROKEN if len(slept) == 1 else ENTRY.format("b")
        assert len(slept) < 9, "it goes on for ever"

    await rig.reloader.watch(sleep)
    assert (slept, rig.put) == ([60.0] * 3, ["b"])
    assert rig.reloader.status()["last_error"] is None
    assert not rig.reloader.status()["running"]
    latest = rig.kept.latest()
    assert latest is not None
    assert latest.problem == ""


async def test_a_file_is_read_when_it_has_changed(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(ENTRY.format("a"))
    rig = Rig(tmp_path / "kept")
    source = FileSource(file, {})
    origin = Origin(environ={}, settings=SyncSettings(is_enabled=False), source=source, kept=None, fetched=None)
    reloader = Reloader(origin, rig.reloader.current, rig._put, rig.peers)
    looks = iter("aaabbb")

    async def sleep(_: float) -> None:
        name = next(looks, None)
        if name is None:
            raise asyncio.CancelledError
        if file.read_text() != ENTRY.format(name):
            file.write_text(ENTRY.format(name))

    with pytest.raises(asyncio.CancelledError):
        await reloader.watch(sleep)
    assert rig.put == ["b"]
    assert reloader.status()["file"]["path"] == str(file)


async def test_without_a_config_file_there_is_nothing_to_read(rig: Rig) -> None:
    origin = Origin(environ={}, settings=SyncSettings())
    reloader = Reloader(origin, rig.reloader.current, rig._put, rig.peers)
    assert (await reloader.reload("test"))["status"] == "success"
    assert (await reloader.rollback("test"))["errors"] == [NOTHING_BEFORE]
    await reloader.watch()
    assert reloader.counts.requests == 0


@pytest.mark.requirement("config.reload.whole")
async def test_what_was_not_judged_to_the_end_is_new_to_whoever_looks_next(rig: Rig) -> None:
    rig.source.text = ENTRY.format("b")
    rig.is_slow = True
    change = asyncio.ensure_future(rig.reloader.reload("test"))
    async with asyncio.timeout(5):
        while not rig.checked:
            await asyncio.sleep(0.001)
    change.cancel()
    with pytest.raises(asyncio.CancelledError):
        await change
    rig.is_slow = False
    assert (await rig.reloader.reload("test"))["reloaded"] == ["config"]
    assert rig.put == ["b"]


@pytest.mark.requirement("config.reload.canary")
@pytest.mark.parametrize("is_there", [True, False])
async def test_what_another_worker_serves_was_checked_there(rig: Rig, is_there: bool) -> None:
    snapshot = load_fetched(documents(ENTRY.format("b")), {}).snapshot
    assert snapshot is not None
    rig.peers.known = [{"pid": 2, "hash": snapshot.hash if is_there else "another"}]
    await rig.change("b")
    assert rig.checked == [is_there]


@pytest.mark.requirement("config.reload.pauses")
async def test_a_version_that_was_refused_is_tried_again_after_longer_and_longer_pauses(tmp_path: Path) -> None:
    rig = Rig(tmp_path, interval=60.0)
    rig.source.text, rig.refusal = ENTRY.format("b"), Refused("all new deployments fail")
    began = rig.now
    tries: list[float] = []

    async def sleep(seconds: float) -> None:
        if len(rig.checked) > len(tries):
            tries.append(rig.now - began)
        rig.now += seconds
        if rig.now > began + 30_000:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await rig.reloader.watch(sleep)
    assert tries[:7] == [0.0, 60.0, 180.0, 420.0, 900.0, 1860.0, 3780.0]
    assert {later - earlier for earlier, later in pairwise(tries[7:])} == {3600.0}
    assert rig.reloader.counts.failures == len(tries)
    assert rig.reloader.errors == ["all new deployments fail"]
    rig.refusal = None
    assert (await rig.reloader.reload("test"))["reloaded"] == ["config"]
    assert rig.reloader.status()["last_error"] is None


async def test_who_asks_in_vain_puts_off_no_try(tmp_path: Path) -> None:
    rig = Rig(tmp_path, interval=60.0)
    rig.source.text, rig.refusal = ENTRY.format("b"), Refused("all new deployments fail")
    await rig.reloader._in_turn("sync", rig.reloader._reload(is_asked=False))
    for _ in range(7):
        await rig.reloader.reload("test")
    rig.now += 60.0
    before = len(rig.checked)
    await rig.reloader._in_turn("sync", rig.reloader._reload(is_asked=False))
    assert len(rig.checked) == before + 1


@pytest.mark.requirement("config.reload.rollback")
async def test_who_goes_back_waits_for_no_provider(tmp_path: Path) -> None:
    rig = Rig(tmp_path, ENTRY.format("a") + "pointsman_settings: {canary_check: true}\n")
    await rig.change("b")
    told = await rig.reloader.rollback("test")
    assert (told["status"], told["notes"]) == ("success", [UNCHECKED])
    await rig.change("c")
    told = await rig.reloader.answer(
        {"do": "rollback", "who": "test", "hash": rig.kept_hash(1), "refused": "", "left": []}
    )
    assert told["status"] == "success"
    assert rig.checked == [False, True, False, True]


async def test_another_version_than_the_refused_one_is_tried_at_once(rig: Rig) -> None:
    rig.refusal = Refused("all new deployments fail")
    await rig.reloader._in_turn("sync", rig.reloader._reload(is_asked=False))
    rig.source.text = ENTRY.format("b")
    for _ in range(3):
        await rig.reloader._in_turn("sync", rig.reloader._reload(is_asked=False))
    rig.source.text = ENTRY.format("c")
    await rig.reloader._in_turn("sync", rig.reloader._reload(is_asked=False))
    assert len(rig.checked) == 2


async def test_a_source_that_is_back_has_what_it_had(rig: Rig) -> None:
    rig.source.text, rig.refusal = ENTRY.format("b"), Refused("all new deployments fail")
    told = []
    for is_down in (False, True, False):
        rig.source.is_down = is_down
        await rig.reloader._in_turn("sync", rig.reloader._reload(is_asked=False))
        told += rig.reloader.errors
    assert told == ["all new deployments fail", "the bucket does not answer (look at the network)", told[0]]
    assert (rig.reloader.counts.failures, len(rig.checked)) == (2, 1)


@pytest.mark.requirement("config.reload.rollback")
async def test_a_refused_rollback_says_nothing_of_the_source(rig: Rig) -> None:
    assert (await rig.reloader.rollback("test"))["errors"] == [NOTHING_BEFORE]
    assert (rig.reloader.errors, rig.reloader.counts.failures, rig.reloader.counts.is_broken) == ([], 0, False)
    assert rig.reloader.status()["is_source_in_force"]


async def test_errors_are_told_as_far_as_others_can_be_told_of_them(rig: Rig) -> None:
    names = [f"{'x' * 1000}{n}.yaml" for n in range(30)]
    rig.source.text = f"include: [{', '.join(names)}]\n" + ENTRY.format("b")
    told = await rig.reloader.reload("test")
    assert len(told["errors"]) == MAX_ERRORS + 1
    assert told["errors"][-1] == "… and 10 more"
    assert all(len(one) <= MAX_ERROR_CHARS for one in told["errors"])
    answer = await rig.reloader.answer({"do": "reload"})
    assert answer["errors"] == answer["last_error"]["errors"] == told["errors"]


# -- going back while something else is tried -------------------------------------------------------------------------


async def _until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


@pytest.mark.requirement("config.reload.exit")
async def test_going_back_does_not_wait_for_a_fetch(rig: Rig) -> None:
    await rig.change("b")
    rig.source.is_hanging = True
    fetching = asyncio.create_task(rig.reloader.reload("test"))
    await _until(lambda: rig.source.asked[1:])
    async with asyncio.timeout(5):
        assert (await rig.reloader.rollback("test"))["status"] == "success"
        assert (await fetching)["errors"] == [GIVEN_UP]
    assert rig.put == ["b", "a"]
    assert rig.reloader.status()["last_error"] is None
    rig.source.is_hanging = False
    assert (await rig.reloader.reload("test"))["notes"] == [HELD]
    assert (await rig.change("c"))["reloaded"] == ["config"]


@pytest.mark.requirement("config.reload.exit")
async def test_what_was_given_up_for_going_back_is_left_alone(rig: Rig) -> None:
    await rig.change("b")
    rig.is_slow = True
    trying = asyncio.create_task(rig.change("c"))
    await _until(lambda: rig.checked[1:])
    rig.is_slow = False
    async with asyncio.timeout(5):
        assert (await rig.reloader.rollback("test"))["reloaded"] == ["config"]
        assert (await trying)["errors"] == [GIVEN_UP]
    assert rig.put == ["b", "a"]
    assert (await rig.reloader.reload("test"))["notes"] == [HELD]
    assert (await rig.reloader.reload("test", has_to_fetch=True))["status"] == "success"
    assert rig.put == ["b", "a", "c"]


async def test_what_was_given_up_is_taken_up_later_where_nobody_could_go_back(rig: Rig) -> None:
    rig.is_slow = True
    trying = asyncio.create_task(rig.change("b"))
    await _until(lambda: rig.checked)
    rig.is_slow = False
    assert (await rig.reloader.rollback("test"))["errors"] == [NOTHING_BEFORE]
    assert (await trying)["errors"] == [GIVEN_UP]
    assert (await rig.reloader.reload("test"))["reloaded"] == ["config"]


@pytest.mark.requirement("config.reload.exit")
async def test_a_file_that_was_given_up_is_left_alone_though_it_is_seen_once_only(rig: Rig, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(ENTRY.format("b"))
    await rig.change("b")
    source = FileSource(file, {})
    fetched = await source.fetch(None)
    origin = Origin(environ={}, settings=SyncSettings(), source=source, kept=rig.kept, fetched=fetched)
    reloader = Reloader(origin, rig.reloader.current, rig._put, rig.peers)
    file.write_text(ENTRY.format("cc"))
    rig.is_slow = True
    watching = asyncio.create_task(reloader.watch(lambda _: asyncio.sleep(0.001)))
    await _until(lambda: rig.checked[1:])
    rig.is_slow = False
    assert (await reloader.rollback("test"))["reloaded"] == ["config"]
    await _until(lambda: source.counts.requests >= 3)
    await _until(lambda: not reloader._turns._lock.locked())
    watching.cancel()
    assert rig.put == ["b", "a"]
    assert (await reloader.reload("test"))["notes"] == [HELD]


async def test_a_source_that_goes_on_and_on_is_given_up(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting.fetch, "__defaults__", (0.01,))
    rig.source.is_hanging = True
    assert (await rig.reloader.reload("test"))["errors"] == [f"{NAME} gave no answer within 0.01 s"]


# -- a fact that is older than what the others serve ------------------------------------------------------------------


@pytest.mark.requirement("config.kept.workers")
async def test_a_new_worker_reads_the_source_where_what_others_serve_could_not_be_kept(tmp_path: Path) -> None:
    rig = Rig(tmp_path, has_hot_reload=False)
    rig.restart(is_heir=True)
    rig.source.text = ENTRY.format("b")
    snapshot = load_fetched(documents(rig.source.text), {}).snapshot
    assert snapshot is not None
    rig.peers.known = [{"pid": 2, "hash": snapshot.hash}, {"pid": 3, "hash": snapshot.hash}]
    await rig.reloader.watch(_at_once)
    assert rig.put == ["b"]
    assert rig.reloader.status()["last_error"] is None


@pytest.mark.requirement("config.kept.workers")
async def test_a_new_worker_that_can_find_nowhere_what_others_serve_says_so(tmp_path: Path) -> None:
    rig = Rig(tmp_path, has_hot_reload=False)
    rig.restart(is_heir=True)
    rig.peers.known = [{"pid": 2, "hash": "nobody has it"}]
    await rig.reloader.watch(_at_once)
    assert rig.put == []
    assert rig.reloader.status()["last_error"]["errors"] == [ALONE]
    rig.peers.known = []
    assert (await rig.reloader.reload("test"))["status"] == "success"
    assert rig.reloader.status()["last_error"] is None


@pytest.mark.parametrize("others", [[], ["mine"], ["mine", "another"]])
async def test_a_new_worker_leaves_the_source_alone_where_others_serve_the_same(
    tmp_path: Path, others: list[str]
) -> None:
    rig = Rig(tmp_path, has_hot_reload=False)
    rig.restart(is_heir=True)
    mine = rig.reloader.current.hash
    rig.peers.known = [{"pid": 2 + i, "hash": mine if one == "mine" else one} for i, one in enumerate(others)]
    await rig.reloader.watch(_at_once)
    assert rig.source.asked == []


async def test_a_new_worker_that_was_asked_before_the_others_had_done_it_follows_nobody(tmp_path: Path) -> None:
    rig = Rig(tmp_path, has_hot_reload=False)
    rig.restart(is_heir=True)
    rig.peers.known = [{"pid": 2, "hash": rig.reloader.current.hash}]
    rig.source.text = ENTRY.format("b")
    await rig.reloader.answer({"do": "reload", "who": "SIGHUP"})
    await rig.reloader.watch(_at_once)
    assert len(rig.source.asked) == 1
    assert rig.reloader.status()["last_error"] is None


async def _at_once(_: float) -> None:
    pass
