from __future__ import annotations

import pytest
from unit.config.sources.getters import Memory

from pointsman.config.sources.base import Address, Fetched, SourceDown
from pointsman.config.sources.objects import ObjectSource

NOW = 1000.0
MAIN = "s3://b/p/config.yaml"
MORE = "s3://b/p/more.yaml"


def source_of(bucket: Memory) -> ObjectSource:
    return ObjectSource(Address("s3", "b", "p/config.yaml"), bucket, {"PRICES": "p.json"}, lambda: NOW)


@pytest.fixture
def bucket() -> Memory:
    return Memory(**{"p/config.yaml": b"include: [more.yaml]", "p/more.yaml": b"b: 1"})


@pytest.fixture
def source(bucket: Memory) -> ObjectSource:
    return source_of(bucket)


async def fetched(source: ObjectSource) -> Fetched:
    found = await source.fetch(None)
    assert found is not None
    return found


@pytest.mark.requirement("config.source.objects")
async def test_a_document_comes_with_the_objects_beside_it(source: ObjectSource) -> None:
    found = await fetched(source)
    assert (found.kind, found.name, found.main) == ("s3", MAIN, MAIN)
    assert found.documents == {MAIN: b"include: [more.yaml]", MORE: b"b: 1"}
    assert found.version.fetched == NOW


async def test_the_version_of_one_object_is_its_etag() -> None:
    assert (await fetched(source_of(Memory(**{"p/config.yaml": b"a: 1"})))).version.etag == "v1"


@pytest.mark.requirement("config.source.unchanged")
async def test_what_is_held_is_asked_for_by_its_etag(source: ObjectSource, bucket: Memory) -> None:
    first = await fetched(source)
    bucket.asked.clear()
    assert await source.fetch(first.version) is None
    assert bucket.asked == [("p/config.yaml", '"v1"'), ("p/more.yaml", '"v2"')]
    assert (source.counts.requests, source.counts.unchanged) == (4, 2)


@pytest.mark.requirement("config.source.unchanged")
@pytest.mark.parametrize("key", ["p/config.yaml", "p/more.yaml"])
async def test_a_change_of_any_object_is_another_version_with_all_of_them(
    source: ObjectSource, bucket: Memory, key: str
) -> None:
    first = await fetched(source)
    text = b"include: [more.yaml] # new"
    bucket.put(key, text)
    second = await source.fetch(first.version)
    assert second is not None
    assert second.version.etag != first.version.etag
    assert second.documents == first.documents | {f"s3://b/{key}": text}


async def test_whoever_knows_nothing_gets_what_is_held(source: ObjectSource) -> None:
    first = await fetched(source)
    assert (await fetched(source)).documents == first.documents


async def test_an_object_that_is_named_no_more_is_held_no_more(source: ObjectSource, bucket: Memory) -> None:
    await fetched(source)
    bucket.put("p/config.yaml", b"a: 1")
    await fetched(source)
    bucket.put("p/config.yaml", b"include: [more.yaml]")
    bucket.asked.clear()
    await fetched(source)
    assert bucket.asked == [("p/config.yaml", '"v3"'), ("p/more.yaml", None)]


async def test_an_included_object_that_is_not_there_is_told_of(source: ObjectSource, bucket: Memory) -> None:
    bucket.delete("p/more.yaml")
    assert (await fetched(source)).absent == {MORE: "there is no such object"}


async def test_an_include_does_not_leave_the_bucket(source: ObjectSource, bucket: Memory) -> None:
    bucket.put("p/config.yaml", b"include: ['s3://other/x.yaml', 'gs://b/x.yaml', 'https://b/x.yaml']")
    absent = (await fetched(source)).absent
    assert set(absent) == {"s3://other/x.yaml", "gs://b/x.yaml", "https://b/x.yaml"}
    assert set(absent.values()) == {"it is in another bucket than the document that names it"}
    assert [key for key, _ in bucket.asked] == ["p/config.yaml"]


async def test_without_the_document_or_the_bucket_the_source_is_down(source: ObjectSource, bucket: Memory) -> None:
    first = await fetched(source)
    bucket.is_down = True
    with pytest.raises(SourceDown, match="does not answer"):
        await source.fetch(first.version)
    bucket.is_down = False
    assert await source.fetch(first.version) is None
    bucket.delete("p/config.yaml")
    with pytest.raises(SourceDown, match="there is no"):
        await source.fetch(first.version)


async def test_a_bucket_that_fails_in_the_middle_gives_no_half_of_the_documents(
    source: ObjectSource, bucket: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    get = Memory.get

    async def fails_later(self: Memory, key: str, etag: str | None, limit: int) -> object:
        self.is_down = key == "p/more.yaml"
        return await get(self, key, etag, limit)

    monkeypatch.setattr(Memory, "get", fails_later)
    with pytest.raises(SourceDown):
        await source.fetch(None)


async def test_a_table_behind_a_variable_is_an_object_too_and_seen_to_change() -> None:
    bucket = Memory(**{"p/config.yaml": b"prices_file: os.environ/PRICES", "p/p.json": b"{}"})
    source = source_of(bucket)
    first = await fetched(source)
    assert first.documents["s3://b/p/p.json"] == b"{}"
    bucket.put("p/p.json", b"{ }")
    assert await source.fetch(first.version) is not None
