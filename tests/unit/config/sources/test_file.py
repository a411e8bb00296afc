from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest

from pointsman.config.sources import file as module
from pointsman.config.sources.base import MAX_FILE_BYTES, Fetched, SourceDown
from pointsman.config.sources.file import FileSource, file_bytes, read_files

NOW = 1000.0


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def delete(path: Path) -> None:
    path.unlink()


def replace(path: Path, text: str) -> None:
    """By another file of the same size and time."""
    before = path.stat()
    draft = put(path.with_suffix(".new"), text)
    os.utime(draft, ns=(before.st_mtime_ns, before.st_mtime_ns))
    draft.replace(path)
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    put(tmp_path / "more.yaml", "b: 1")
    return put(tmp_path / "config.yaml", "include: [more.yaml]")


@pytest.fixture
def source(path: Path) -> FileSource:
    return FileSource(path, {}, lambda: NOW)


async def fetched(source: FileSource) -> Fetched:
    found = await source.fetch(None)
    assert found is not None
    return found


async def has_changed(source: FileSource) -> bool:
    """Two looks: what is found twice is not being written."""
    await source.look()
    return await source.look()


@pytest.mark.requirement("config.source.file")
async def test_a_file_comes_with_what_it_includes(source: FileSource, path: Path) -> None:
    found = await fetched(source)
    assert (found.kind, found.name, found.main) == ("file", str(path), str(path))
    assert found.documents == {str(path): b"include: [more.yaml]", str(path.parent / "more.yaml"): b"b: 1"}
    assert found.version.fetched == NOW


async def test_equal_documents_are_not_given_again(source: FileSource, path: Path) -> None:
    first = await fetched(source)
    assert await source.fetch(first.version) is None
    put(path, "include: [more.yaml]")
    assert await source.fetch(first.version) is None
    put(path.parent / "more.yaml", "b: 2")
    second = await source.fetch(first.version)
    assert second is not None
    assert second.version.etag != first.version.etag
    assert source.counts.requests == 4


async def test_a_file_that_cannot_be_read_is_a_source_that_is_down(source: FileSource, path: Path) -> None:
    delete(path)
    with pytest.raises(SourceDown, match=r"cannot read .*config\.yaml: No such file or directory"):
        await source.fetch(None)
    assert source.counts.failures == 1


@pytest.mark.requirement("config.source.hanging")
@pytest.mark.parametrize("is_main", [True, False])
async def test_a_pipe_is_no_config_and_nobody_waits_for_its_writer(
    source: FileSource, path: Path, is_main: bool
) -> None:
    pipe = path if is_main else path.parent / "more.yaml"
    delete(pipe)
    os.mkfifo(pipe)
    if is_main:
        with pytest.raises(SourceDown, match="not a regular file"):
            await source.fetch(None)
    else:
        assert (await fetched(source)).absent == {str(pipe): "not a regular file"}


def test_who_reads_once_may_read_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=("a: 1",))
    writer.start()
    assert read_files(pipe, {}, is_once=True).documents == {str(pipe): b"a: 1"}
    writer.join()
    assert file_bytes(str(tmp_path), may_wait=True) == "Is a directory"
    assert len(file_bytes("/dev/zero", may_wait=True)) == MAX_FILE_BYTES + 1


def test_what_is_no_file_is_told_and_leaves_nothing_open(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    assert file_bytes(str(tmp_path)) == "not a regular file"
    assert file_bytes(str(tmp_path / "absent")) == "No such file or directory"
    assert file_bytes("a\0b") == "not a readable file"
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.requirement("config.source.hanging")
async def test_a_file_system_that_hangs_is_a_source_that_is_down_until_it_answers(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = FileSource(path, {}, lambda: NOW)
    first = await fetched(source)
    source._patience = 0.02
    answers, threads = threading.Event(), []

    def read(*_: object) -> Fetched:
        threads.append(threading.current_thread())
        answers.wait(30)
        return read_files(path, {})

    monkeypatch.setattr(module, "read_files", read)
    for _ in range(3):
        with pytest.raises(SourceDown, match=r"no answer within 0\.02 s"):
            await source.fetch(first.version)
        assert await source.look(), "somebody has to see it"
    assert (len(threads), threads[0].daemon) == (1, True)
    assert source.counts.failures == 3
    answers.set()
    threads[0].join()
    source._patience = 60
    assert await has_changed(source)
    assert await source.fetch(first.version) is None
    assert not await has_changed(source)


async def test_a_look_and_a_fetch_at_once_wait_for_each_other(source: FileSource) -> None:
    looked, found, again = await asyncio.gather(source.look(), source.fetch(None), source.fetch(None))
    assert not looked
    assert found is not None
    assert again is not None


async def test_an_included_file_that_cannot_be_read_is_told_of(source: FileSource, path: Path) -> None:
    delete(path.parent / "more.yaml")
    assert (await fetched(source)).absent == {str(path.parent / "more.yaml"): "No such file or directory"}


async def test_no_more_is_read_than_may_be(tmp_path: Path) -> None:
    path = put(tmp_path / "config.yaml", "x" * (MAX_FILE_BYTES + 100))
    assert len(read_files(path, {}).documents[str(path)]) == MAX_FILE_BYTES + 1


@pytest.mark.requirement("config.source.watch")
async def test_a_file_that_stays_as_it_is_has_not_changed(source: FileSource) -> None:
    await fetched(source)
    assert not any([await source.look() for _ in range(3)])


@pytest.mark.requirement("config.source.watch")
@pytest.mark.parametrize("name", ["config.yaml", "more.yaml"])
async def test_a_file_or_what_it_includes_is_seen_to_change(source: FileSource, path: Path, name: str) -> None:
    await fetched(source)
    put(path.parent / name, "b: 22")
    assert await has_changed(source)
    await fetched(source)
    assert not await has_changed(source)


@pytest.mark.requirement("config.source.watch")
@pytest.mark.parametrize("name", ["config.yaml", "config.json"])
async def test_a_table_is_seen_to_change_whoever_names_it(tmp_path: Path, name: str) -> None:
    path = put(tmp_path / name, '{"prices_file": "os.environ/PRICES", "llm_data_path": "data.json"}')
    tables = [put(tmp_path / table, "{}") for table in ("prices.json", "data.json")]
    source = FileSource(path, {"PRICES": "prices.json"})
    for table in tables:
        first = await fetched(source)
        put(table, "{ }")
        assert await has_changed(source)
        assert await source.fetch(first.version) is not None


@pytest.mark.requirement("config.source.watch")
async def test_a_file_that_an_editor_replaces_by_renaming_is_seen(source: FileSource, path: Path) -> None:
    await fetched(source)
    replace(path, "include: [MORE.yaml]")
    assert await has_changed(source)


@pytest.mark.requirement("config.source.watch")
async def test_a_config_map_whose_link_is_swapped_is_seen(tmp_path: Path) -> None:
    """As the kubelet does: config.yaml -> ..data/config.yaml, and ..data -> ..2026_01."""
    for name in ("..1", "..2"):
        put(tmp_path / name / "config.yaml", "a: 1")
        os.utime(tmp_path / name / "config.yaml", ns=(1, 1))
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "config.yaml").symlink_to("..data/config.yaml")
    source = FileSource(tmp_path / "config.yaml", {})
    await fetched(source)
    (tmp_path / "..new").symlink_to("..2")
    (tmp_path / "..new").replace(tmp_path / "..data")
    assert await has_changed(source)


@pytest.mark.requirement("config.source.watch")
async def test_a_file_that_is_being_written_is_left_alone_until_it_holds_still(source: FileSource, path: Path) -> None:
    await fetched(source)
    looks = []
    for size in range(1, 4):
        put(path, "#" * size)
        looks.append(await source.look())
    assert [*looks, await source.look()] == [False, False, False, True]


async def test_a_file_that_is_gone_has_changed_and_so_has_one_that_comes_back(source: FileSource, path: Path) -> None:
    await fetched(source)
    delete(path)
    assert await has_changed(source)
    with pytest.raises(SourceDown):
        await source.fetch(None)
    assert not await has_changed(source)
    put(path, "include: [more.yaml]")
    assert await has_changed(source)


async def test_what_changes_under_the_reader_is_read_again(
    source: FileSource, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = iter(["b: 22", "b: 333"])

    def read(*_: object) -> Fetched:
        found = read_files(path, {})
        if (text := next(texts, None)) is not None:
            put(path.parent / "more.yaml", text)
        return found

    monkeypatch.setattr(module, "read_files", read)
    assert (await fetched(source)).documents[str(path.parent / "more.yaml")] == b"b: 333"
    assert not await has_changed(source)


async def test_what_never_holds_still_is_not_taken_up_in_parts_and_is_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, draft = tmp_path / "config.yaml", tmp_path / "new.yaml"
    for name in "abcd":
        put(tmp_path / f"{name}.yaml", name)

    def link(name: str) -> None:
        draft.symlink_to(f"{name}.yaml")
        draft.replace(path)

    link("a")
    source = FileSource(path, {})
    first = await fetched(source)
    link("b")
    names = iter("cda")

    def read(*_: object) -> Fetched:
        found = read_files(path, {})
        link(next(names))
        return found

    monkeypatch.setattr(module, "read_files", read)
    with pytest.raises(SourceDown, match="changes all the time"):
        await source.fetch(first.version)
    assert source.counts.failures == 1
    assert await has_changed(source), "though it is as it was when it was read last"
