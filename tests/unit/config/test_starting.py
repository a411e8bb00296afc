from __future__ import annotations

import asyncio
import os
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from unit.config.sources.getters import Memory

from pointsman.config import starting as module
from pointsman.config.kept import LastGood
from pointsman.config.sources.base import SourceDown
from pointsman.config.sources.settings import BadSetting
from pointsman.config.sources.stores import Got
from pointsman.config.starting import DIRECTORY, Begun, begin

GOOD = b"model_list: [{model_name: good, litellm_params: {model: demo/small}}]"
OTHER = b"model_list: [{model_name: other, litellm_params: {model: demo/small}}]"
BROKEN = b"model_list: [{model_name: 3}"
ENVIRON = {"CONFIG_S3_BUCKET": "b", "CONFIG_S3_KEY": "c.yaml"}
NAME = "s3://b/c.yaml"


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Memory:
    found = Memory(**{"c.yaml": GOOD})
    monkeypatch.setattr(module, "Bucket", lambda *_: found)
    return found


def names(begun: Begun) -> list[str]:
    assert begun.loaded.snapshot is not None, begun.loaded.problems
    return [one.model_name for one in begun.loaded.snapshot.deployments]


def of_bucket(folder: Path, *, is_heir: bool = False) -> Begun:
    return begin(None, ENVIRON, folder, is_heir=is_heir)


def test_without_a_config_there_is_no_source(tmp_path: Path) -> None:
    begun = begin(None, {}, tmp_path)
    assert "demo/small" in names(begun)
    assert (begun.origin.source, begun.origin.kept, begun.origin.fetched) == (None, None, None)


def test_a_file_is_loaded_and_needs_no_data_directory(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_bytes(GOOD)
    begun = begin(tmp_path / "c.yaml", {}, tmp_path / "data")
    assert names(begun) == ["good"]
    assert begun.origin.source is not None
    assert begun.origin.source.kind == "file"
    assert not (tmp_path / "data").exists()


def test_a_file_that_nobody_looks_at_again_may_be_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(GOOD,))
    writer.start()
    assert names(begin(pipe, {"CONFIG_HOT_RELOAD": "false"}, tmp_path)) == ["good"]
    writer.join()
    for environ, is_heir in (({}, False), ({"CONFIG_HOT_RELOAD": "false"}, True)):
        begun = begin(pipe, environ, tmp_path / "data", is_heir=is_heir)
        assert [one.what for one in begun.loaded.problems] == [f"cannot read {pipe}: not a regular file"]


@pytest.mark.requirement("config.kept.rollback")
def test_a_file_from_which_somebody_went_back_is_out_of_force_until_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(GOOD)
    good = begin(path, {}, tmp_path).origin
    path.write_bytes(OTHER)
    other = begin(path, {}, tmp_path).origin
    assert good.kept is not None
    assert good.fetched is not None
    assert other.fetched is not None
    good.kept.keep(good.fetched, "h", refused=other.fetched.version.etag)
    assert names(begin(path, {}, tmp_path)) == ["good"]
    path.write_bytes(OTHER + b"# changed")
    assert names(begin(path, {}, tmp_path)) == ["other"]
    path.write_bytes(OTHER)
    assert names(begin(path, {}, tmp_path)) == ["other"]


@pytest.mark.parametrize("text", [BROKEN, None])
def test_a_file_that_is_broken_or_gone_is_for_its_owner_to_mend(tmp_path: Path, text: bytes | None) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(GOOD)
    begin(path, {}, tmp_path)
    path.unlink()
    if text is not None:
        path.write_bytes(text)
    begun = begin(path, {}, tmp_path)
    assert begun.loaded.snapshot is None
    assert "error" in {problem.severity for problem in begun.loaded.problems}


@pytest.mark.requirement("config.source.objects")
def test_a_bucket_goes_before_a_file(tmp_path: Path, bucket: Memory) -> None:
    (tmp_path / "c.yaml").write_bytes(OTHER)
    begun = begin(tmp_path / "c.yaml", ENVIRON, tmp_path)
    assert names(begun) == ["good"]
    assert begun.origin.source is not None
    assert begun.origin.source.name == NAME
    assert begun.origin.problem is None


@pytest.mark.requirement("config.kept.cold-start")
def test_a_bucket_that_is_down_is_served_from_what_was_last_good(tmp_path: Path, bucket: Memory) -> None:
    of_bucket(tmp_path)
    bucket.is_down = True
    begun = of_bucket(tmp_path)
    assert names(begun) == ["good"]
    assert begun.origin.fetched is not None
    assert begun.origin.fetched.kind == "last good"
    assert begun.origin.problem == "it does not answer; serving what was in force before"


@pytest.mark.requirement("config.kept.cold-start")
def test_a_bucket_that_does_not_answer_is_not_waited_for(
    tmp_path: Path, bucket: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_bucket(tmp_path)

    async def never(self: Memory, *_: Any) -> Got | None:
        await asyncio.Event().wait()
        return None

    monkeypatch.setattr(Memory, "get", never)
    monkeypatch.setattr(module, "PATIENCE", 0.001)
    begun = of_bucket(tmp_path)
    assert names(begun) == ["good"]
    assert begun.origin.problem is not None
    assert "gave no answer within" in begun.origin.problem


@pytest.mark.requirement("config.kept.cold-start")
def test_a_broken_document_in_a_bucket_leaves_what_was_last_good_in_force(tmp_path: Path, bucket: Memory) -> None:
    of_bucket(tmp_path)
    bucket.put("c.yaml", BROKEN)
    begun = of_bucket(tmp_path)
    assert names(begun) == ["good"]
    assert begun.origin.problem is not None
    assert begun.origin.problem.startswith(f"{NAME}:2:1: error: is not YAML")


def test_with_nothing_kept_a_bucket_that_is_down_or_broken_is_said(tmp_path: Path, bucket: Memory) -> None:
    bucket.put("c.yaml", BROKEN)
    assert of_bucket(tmp_path).loaded.snapshot is None
    bucket.is_down = True
    with pytest.raises(SourceDown, match="does not answer"):
        of_bucket(tmp_path)


def test_a_worker_starts_with_what_its_parent_has_kept(tmp_path: Path, bucket: Memory) -> None:
    of_bucket(tmp_path)
    bucket.asked.clear()
    begun = of_bucket(tmp_path, is_heir=True)
    assert names(begun) == ["good"]
    assert bucket.asked == []
    assert begun.origin.problem is None


@pytest.mark.requirement("config.kept.workers")
@pytest.mark.parametrize("text", [BROKEN, OTHER, None])
def test_a_worker_starts_with_what_is_in_force_whatever_its_file_is_by_then(tmp_path: Path, text: bytes | None) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(GOOD)
    parent = begin(path, {}, tmp_path / "data", has_heirs=True)
    assert parent.origin.is_kept
    path.unlink()
    if text is not None:
        path.write_bytes(text)
    begun = begin(path, {}, tmp_path / "data", is_heir=True)
    assert names(begun) == ["good"]
    assert parent.origin.fetched is not None
    assert begun.origin.fetched is not None
    assert begun.origin.fetched.version == parent.origin.fetched.version
    assert (begun.origin.is_heir, begun.origin.problem, begun.origin.notes) == (True, None, ())


def test_a_parent_begins_with_its_file_and_its_workers_with_that(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    for text, name in ((GOOD, "good"), (OTHER, "other")):
        path.write_bytes(text)
        assert names(begin(path, {}, tmp_path, has_heirs=True)) == [name]
        assert names(begin(path, {}, tmp_path, is_heir=True)) == [name]


def test_a_worker_for_which_nothing_usable_is_kept_reads_its_file(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(GOOD)
    assert names(begin(path, {}, tmp_path, is_heir=True)) == ["good"]
    path.write_bytes(BROKEN)
    broken = begin(path, {}, tmp_path).origin
    assert broken.kept is not None
    assert broken.fetched is not None
    broken.kept.keep(broken.fetched, "of another version of the gateway")
    path.write_bytes(GOOD)
    assert names(begin(path, {}, tmp_path, is_heir=True)) == ["good"]


@pytest.mark.requirement("config.kept.cold-start")
def test_workers_know_that_their_parent_has_begun_without_its_source(tmp_path: Path, bucket: Memory) -> None:
    of_bucket(tmp_path)
    bucket.is_down = True
    assert of_bucket(tmp_path).origin.problem == of_bucket(tmp_path, is_heir=True).origin.problem is not None
    bucket.is_down = False
    assert of_bucket(tmp_path).origin.problem is None
    assert of_bucket(tmp_path, is_heir=True).origin.problem is None


def test_what_somebody_went_back_from_serves_where_what_they_went_back_to_cannot(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(BROKEN)
    broken = begin(path, {}, tmp_path).origin
    path.write_bytes(GOOD)
    good = begin(path, {}, tmp_path).origin
    assert broken.fetched is not None
    assert good.fetched is not None
    assert good.kept is not None
    good.kept.keep(broken.fetched, "h", refused=good.fetched.version.etag)
    begun = begin(path, {}, tmp_path)
    assert (names(begun), begun.origin.refused) == (["good"], "")


def test_a_start_remembers_what_was_gone_back_from_but_what_its_source_has(tmp_path: Path, bucket: Memory) -> None:
    good = of_bucket(tmp_path)
    bucket.put("c.yaml", OTHER)
    other = of_bucket(tmp_path)
    assert good.origin.kept is not None
    assert other.origin.fetched is not None
    hashes = [one.loaded.snapshot.hash for one in (good, other) if one.loaded.snapshot is not None]
    good.origin.kept.keep(other.origin.fetched, hashes[1], left=hashes)
    assert of_bucket(tmp_path).origin.left == (hashes[0],)


def test_a_worker_whose_parent_could_not_keep_anything_asks_the_bucket(tmp_path: Path, bucket: Memory) -> None:
    assert names(of_bucket(tmp_path, is_heir=True)) == ["good"]


@pytest.mark.requirement("config.kept.rollback")
def test_what_somebody_went_back_from_does_not_come_back_by_a_restart(tmp_path: Path, bucket: Memory) -> None:
    good = of_bucket(tmp_path)
    bucket.put("c.yaml", OTHER)
    other = of_bucket(tmp_path)
    assert good.origin.fetched is not None
    assert other.origin.fetched is not None
    assert good.loaded.snapshot is not None
    etag = other.origin.fetched.version.etag
    LastGood(tmp_path / DIRECTORY, NAME).keep(good.origin.fetched, good.loaded.snapshot.hash, refused=etag)
    begun = of_bucket(tmp_path)
    assert names(begun) == ["good"]
    assert "went back" in str(begun.origin.notes)
    assert (begun.origin.problem, begun.origin.refused) == (None, etag)
    heir = of_bucket(tmp_path, is_heir=True)
    assert (names(heir), heir.origin.refused) == (["good"], etag)
    bucket.put("c.yaml", OTHER + b"# changed")
    assert names(of_bucket(tmp_path)) == ["other"]


def test_a_disk_that_keeps_nothing_is_told_and_does_not_stop_the_start(tmp_path: Path, bucket: Memory) -> None:
    (tmp_path / "data").write_text("a file")
    begun = of_bucket(tmp_path / "data")
    assert names(begun) == ["good"]
    assert "cannot be kept" in str(begun.origin.notes)
    assert (begun.origin.problem, begun.origin.is_kept) == (None, False)


def test_what_has_no_meaning_is_said_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(BadSetting):
        begin(None, {"CONFIG_S3_BUCKET": "b"}, tmp_path)


def test_what_a_process_was_started_with_is_not_printed(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_bytes(GOOD + b"# sk-hidden")
    assert "sk-hidden" not in repr(begin(tmp_path / "c.yaml", {"OPENAI_API_KEY": "sk-hidden"}, tmp_path).origin)


def test_obstore_is_imported_only_for_a_bucket(tmp_path: Path) -> None:
    before = set(sys.modules)
    begin(None, {}, tmp_path)
    assert "obstore" not in set(sys.modules) - before


@pytest.mark.requirement("config.kept.workers")
def test_gateways_with_one_source_and_one_directory_have_each_their_own_fact(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(GOOD)
    here, there = (begin(path, {}, tmp_path, has_heirs=True, at=at) for at in (":4000", ":4001"))
    path.write_bytes(OTHER)
    other = begin(path, {}, tmp_path, at=":4000")
    assert here.origin.kept is not None
    assert here.loaded.snapshot is not None
    assert here.origin.fetched is not None
    assert other.origin.fetched is not None
    here.origin.kept.keep(here.origin.fetched, here.loaded.snapshot.hash, refused=other.origin.fetched.version.etag)
    path.write_bytes(GOOD)
    path.write_bytes(OTHER)
    assert names(begin(path, {}, tmp_path, is_heir=True, at=":4000")) == ["good"]
    assert begin(path, {}, tmp_path, is_heir=True, at=":4000").origin.refused
    heir = begin(path, {}, tmp_path, is_heir=True, at=":4001")
    assert (names(heir), heir.origin.refused) == (names(there), "")
