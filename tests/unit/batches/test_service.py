from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from files import NOW, MemoryFiles, make_files
from msgspec.structs import replace
from work import MemoryWork

from pointsman.access.caller import MASTER, Caller
from pointsman.access.keys import Key
from pointsman.batches import service
from pointsman.batches.files import BATCH, EVERYBODY, NewFile, Wanted, owner_of
from pointsman.batches.finalizing import finalize
from pointsman.batches.protocol.anthropic import message_batch
from pointsman.batches.protocol.creating import WantedBatch
from pointsman.batches.protocol.objects import doc_of
from pointsman.batches.service import AN_HOUR, KEPT_SECONDS, OPENAI, Batches, Page
from pointsman.batches.settings import BatchSettings
from pointsman.errors import (
    BodyTooLarge,
    Forbidden,
    IdempotencyKeyReused,
    InvalidRequest,
    ObjectNotFound,
    Overloaded,
    RateLimited,
    StorageFull,
)
from pointsman.store.base import Refused, StoreDown
from pointsman.store.settings import FileSettings
from pointsman.store.work import BatchRow, NewLine

ANNA = Caller(name="key:a", role="key", id="a", key=Key(account="acc-a", user_id="anna"))
BERT = Caller(name="key:b", role="key", id="b", key=Key(account="acc-b"))
TOKEN = Caller(name="token:x", role="key", key=Key(user_id="anna"))
SETTINGS = BatchSettings(max_input_bytes=1000, max_message_requests=3, max_line_bytes=5000, max_open=20)
PARAMS = {"model": "house", "max_tokens": 5, "messages": []}


class World:
    def __init__(self, directory: Path) -> None:
        self.now = 1000.0
        self.work = MemoryWork(now=self.tick)
        self.rows = MemoryFiles()
        self.files = make_files(directory, self.rows)
        numbers = count(1)
        self.batches = Batches(self.work, self.files, lambda: SETTINGS, lambda: str(next(numbers)))

    def tick(self) -> float:
        self.now += 1.0
        return self.now

    async def file(self, caller: Caller, purpose: str = BATCH, data: bytes = b"x") -> str:
        async with self.files.begin(NewFile(owner=owner_of(caller), purpose=purpose, filename="f")) as writing:
            await writing.write(data)
            return (await writing.finish()).id

    async def nothing(self) -> AsyncIterator[bytes]:
        """A body that nobody is to ask for."""
        for piece in ("nobody",):
            raise AssertionError(piece)
        yield b""

    async def create(self, caller: Caller = ANNA, headers: Any = None, **more: Any) -> BatchRow:
        wanted = WantedBatch(input_file_id=await self.file(caller), endpoint="/v1/embeddings", **more)
        return await self.batches.create(caller, wanted, headers or {})

    async def messages(self, requests: Any, caller: Caller = ANNA, headers: Any = None) -> BatchRow:
        body = json.dumps({"requests": requests}).encode()

        async def pieces() -> AsyncIterator[bytes]:
            for at in range(0, len(body), 7):
                yield body[at : at + 7]

        return await self.batches.create_messages(caller, pieces(), headers or {})

    async def end(self, row: BatchRow, state: Any, **doc: Any) -> BatchRow:
        taken = await self.work.take("me")
        assert taken is not None
        assert taken.id == row.id
        ended = await self.work.end(taken.lease, row.doc | doc, state=state)
        assert ended is not None
        return ended


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_a_batch_is_made_of_a_file(world: World) -> None:
    expiry = {"anchor": "created_at", "seconds": 3600}
    headers = {b"x-litellm-tags": b"a", b"authorization": b"Bearer sk-1"}
    row = await world.create(headers=headers, metadata={"a": "b"}, output_expires_after=expiry)
    assert (row.id, row.state, row.owner, row.key_id, row.kind) == ("batch_1", "validating", "user:anna", "a", "openai")
    assert row.expires_at - row.created_at == 86_400
    doc = doc_of(row)
    assert (doc.endpoint, doc.metadata, doc.output_expires_after) == ("/v1/embeddings", {"a": "b"}, expiry)
    assert (doc.headers, doc.requested_by, doc.account) == ({"x-litellm-tags": "a"}, "key:a", "acc-a")
    assert await world.batches.get("user:anna", OPENAI, row.id) == row


@pytest.mark.parametrize(
    ("owner", "purpose", "size", "code"),
    [
        (BERT, BATCH, 1, "file_not_found"),
        (MASTER, BATCH, 1, "file_not_found"),
        (ANNA, "user_data", 1, "invalid_purpose"),
        (ANNA, "batch_output", 1, "invalid_purpose"),
        (ANNA, BATCH, 1001, "file_too_large"),
    ],
)
async def test_a_file_that_cannot_be_run_is_refused(
    world: World, owner: Caller, purpose: str, size: int, code: str
) -> None:
    wanted = WantedBatch(input_file_id=await world.file(owner, purpose, b"x" * size), endpoint="/v1/embeddings")
    with pytest.raises(InvalidRequest) as raised:
        await world.batches.create(ANNA, wanted, {})
    assert (raised.value.code, raised.value.param) == (code, "input_file_id")


async def test_a_file_that_is_not_there_is_refused_as_somebody_elses_is(world: World) -> None:
    with pytest.raises(InvalidRequest, match="There is no file 'file-x'"):
        await world.batches.create(ANNA, WantedBatch(input_file_id="file-x", endpoint="/v1/embeddings"), {})


async def test_an_input_file_is_there_until_its_batch_has_had_its_day(world: World) -> None:
    for seconds, kept in ((3_600.0, KEPT_SECONDS), (200_000.0, 200_000.0)):
        new = NewFile(owner=owner_of(ANNA), purpose=BATCH, filename="f", expires_seconds=seconds)
        async with world.files.begin(new) as writing:
            source = await writing.finish()
        row = await world.batches.create(ANNA, WantedBatch(input_file_id=source.id, endpoint="/v1/embeddings"), {})
        assert row.expires_at - row.created_at < kept
        assert world.rows.rows[source.id].expires_at == NOW + kept


async def test_the_requests_of_a_body_are_there_until_their_batch_has_had_its_day(tmp_path: Path, world: World) -> None:
    for days, kept in ((1, KEPT_SECONDS), (2, 2 * 86_400.0)):
        settings = FileSettings(batch_seconds=days * 86_400.0)
        world.files = make_files(tmp_path, world.rows, settings)
        world.batches = Batches(world.work, world.files, lambda: SETTINGS, [str(days)].pop)
        row = await world.messages([{"custom_id": "a", "params": PARAMS}])
        assert world.rows.rows[doc_of(row).input_file_id].expires_at == NOW + kept


async def test_nobody_has_more_than_so_many_batches_at_a_time(world: World) -> None:
    rows = [await world.create() for _ in range(SETTINGS.max_open)]
    with pytest.raises(RateLimited) as raised:
        await world.create()
    assert (raised.value.code, raised.value.retry_after) == ("too_many_batches", 60.0)
    before = len(world.rows.rows)
    with pytest.raises(RateLimited):
        await world.messages([{"custom_id": "a", "params": PARAMS}])
    assert len(world.rows.rows) == before
    with pytest.raises(RateLimited):
        # It is said before anything of the body has arrived.
        await world.batches.create_messages(ANNA, world.nothing(), {})
    await world.create(BERT)
    for _ in range(SETTINGS.max_open + 1):
        await world.create(MASTER)
    await world.end(rows[0], "failed")
    await world.create()


async def test_nobody_makes_more_than_so_many_batches_in_an_hour(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MAX_MADE", 3)
    world.now = NOW - AN_HOUR
    for _ in range(3):
        await world.end(await world.create(), "failed")
    with pytest.raises(RateLimited, match="3 batches in the last hour") as raised:
        await world.create()
    assert (raised.value.code, raised.value.retry_after) == ("too_many_batches", 60.0)
    with pytest.raises(RateLimited):
        await world.batches.create_messages(ANNA, world.nothing(), {})
    await world.create(BERT)
    for _ in range(4):
        await world.create(MASTER)
    # An hour after the first one there is room for another one.
    world.files.now = lambda: NOW + 2.0
    await world.create()


async def test_who_keeps_too_much_sends_no_more_requests(world: World) -> None:
    await world.file(ANNA)
    [row] = world.rows.rows.values()
    world.rows.rows[row.id] = replace(row, bytes=world.files.settings.max_owner_bytes)
    with pytest.raises(StorageFull, match="delete some"):
        await world.messages([{"custom_id": "a", "params": PARAMS}])
    for other in (BERT, MASTER):
        await world.messages([{"custom_id": "a", "params": PARAMS}], other)


async def test_the_master_makes_a_batch_of_anybodys_file(world: World) -> None:
    wanted = WantedBatch(input_file_id=await world.file(BERT), endpoint="/v1/embeddings")
    row = await world.batches.create(MASTER, wanted, {})
    assert (row.owner, row.key_id) == ("", "")


async def test_a_token_makes_no_batch_since_nobody_can_look_it_up_later(world: World) -> None:
    for caller in (TOKEN, replace(TOKEN, key=None)):
        with pytest.raises(Forbidden, match="virtual key"):
            await world.batches.create(caller, WantedBatch(input_file_id="file-x", endpoint="/v1/embeddings"), {})
        with pytest.raises(Forbidden):
            await world.batches.create_messages(caller, world.nothing(), {})


async def test_somebody_elses_batch_looks_like_none(world: World) -> None:
    row = await world.create()
    calls = (world.batches.get, world.batches.cancel, world.batches.delete)
    for owner, kind in (("key:acc-b", OPENAI), ("user:anna", "anthropic")):
        for call in calls:
            with pytest.raises(ObjectNotFound, match="There is no batch 'batch_1'"):
                await call(owner, kind, row.id)
        assert await world.batches.page(owner, kind, Page()) == ([], False)
    assert (await world.batches.get(EVERYBODY, OPENAI, row.id)).id == row.id


async def test_pages_go_from_the_last_one_back_and_forth(world: World) -> None:
    ids = [(await world.create()).id for _ in range(5)][::-1]

    async def page(**asked: Any) -> tuple[list[str], bool]:
        rows, has_more = await world.batches.page("user:anna", OPENAI, Page(limit=2, **asked))
        return [row.id for row in rows], has_more

    assert await page() == (ids[:2], True)
    assert await page(after=ids[1]) == (ids[2:4], True)
    assert await page(after=ids[3]) == (ids[4:], False)
    assert await page(before=ids[4]) == (ids[2:4], True)
    assert await page(before=ids[2]) == (ids[:2], False)
    for name in ("after", "before"):
        with pytest.raises(InvalidRequest, match=f"'{name}'") as raised:
            await page(**{name: "batch_none"})
        assert raised.value.param == name
        with pytest.raises(InvalidRequest, match=f"'{name}_id'"):
            await world.batches.page("user:anna", "anthropic", replace(Page(), **{name: "batch_none"}))


async def test_a_batch_is_cancelled_until_it_is_over(world: World) -> None:
    row = await world.create()
    assert (await world.batches.cancel("user:anna", OPENAI, row.id)).state == "cancelling"
    assert (await world.batches.cancel("user:anna", OPENAI, row.id)).state == "cancelling"
    await world.end(row, "cancelled")
    with pytest.raises(InvalidRequest, match="status 'cancelled'"):
        await world.batches.cancel("user:anna", OPENAI, row.id)


async def test_an_operator_holds_a_batch_and_lets_it_go_on(world: World) -> None:
    row = await world.create()
    assert (await world.batches.pause(row.id, is_paused=True)).is_paused
    assert not (await world.batches.pause(row.id, is_paused=False)).is_paused
    await world.end(row, "failed")
    with pytest.raises(InvalidRequest, match="nothing left to do"):
        await world.batches.pause(row.id, is_paused=True)
    with pytest.raises(ObjectNotFound):
        await world.batches.pause("batch_none", is_paused=True)


async def test_requests_of_a_body_become_an_input_file(world: World) -> None:
    row = await world.messages([{"custom_id": name, "params": PARAMS} for name in "abc"])
    assert (row.id, row.kind, row.total) == ("msgbatch_1", "anthropic", 3)
    source = await world.files.find("user:anna", doc_of(row).input_file_id)
    lines = [json.loads(one.data or b"") async for one in world.files.lines(source)]
    assert lines == [{"custom_id": name, "method": "POST", "url": "/v1/messages", "body": PARAMS} for name in "abc"]
    assert (source.purpose, source.filename) == (BATCH, "msgbatch_1.jsonl")


@pytest.mark.parametrize(
    ("requests", "error"),
    [
        ([], InvalidRequest),
        ([{"custom_id": "a", "params": PARAMS}, {"custom_id": "a", "params": PARAMS}], InvalidRequest),
        ([{"custom_id": str(n), "params": PARAMS} for n in range(4)], BodyTooLarge),
        ([{"custom_id": "a", "params": {"system": "x" * 5000}}], BodyTooLarge),
    ],
)
async def test_a_body_that_is_wrong_leaves_nothing_behind(world: World, requests: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        await world.messages(requests)
    assert (world.rows.rows, await world.batches.page(EVERYBODY, "anthropic", Page())) == ({}, ([], False))


async def test_an_input_file_without_its_batch_goes(world: World) -> None:
    async def down(_batch: Any) -> BatchRow:
        raise StoreDown("away")

    world.work.create = down  # type: ignore[assignment,method-assign]
    with pytest.raises(Overloaded):
        await world.messages([{"custom_id": "a", "params": PARAMS}])
    assert world.rows.rows == {}


async def test_a_request_that_is_repeated_with_its_key_makes_no_second_batch(world: World) -> None:
    headers = {b"idempotency-key": b"one"}
    first, again = [await world.create(headers=headers) for _ in range(2)]
    assert (first.id, doc_of(first).input_file_id) == (again.id, doc_of(again).input_file_id)
    for other in (await world.create(headers={b"idempotency-key": b"two"}), await world.create(BERT, headers)):
        assert other.id != first.id
    with pytest.raises(IdempotencyKeyReused):
        await world.create(headers=headers, metadata={"a": "b"})
    wanted = WantedBatch(input_file_id=await world.file(ANNA, data=b"other"), endpoint="/v1/embeddings")
    with pytest.raises(IdempotencyKeyReused):
        await world.batches.create(ANNA, wanted, headers)
    await world.files.delete(EVERYBODY, doc_of(first).input_file_id)
    with pytest.raises(IdempotencyKeyReused):
        await world.create(headers=headers)


async def test_who_has_as_many_as_he_can_have_is_given_the_batch_that_he_has_made(world: World) -> None:
    requests = [{"custom_id": "a", "params": PARAMS}]
    headers = {b"idempotency-key": b"one"}
    first, body = await world.create(headers=headers), await world.messages(requests, headers=headers)
    for _ in range(SETTINGS.max_open - 2):
        await world.create()
    with pytest.raises(RateLimited):
        await world.create(headers={b"idempotency-key": b"two"})
    assert (await world.create(headers=headers)).id == first.id
    row = world.rows.rows[doc_of(first).input_file_id]
    world.rows.rows[row.id] = replace(row, bytes=world.files.settings.max_owner_bytes)
    assert (await world.messages(requests, headers=headers)).id == body.id


async def test_the_same_key_of_another_user_is_another_one(world: World) -> None:
    headers = {b"idempotency-key": b"one"}
    first = await world.create(headers=headers)
    given = replace(ANNA, key=Key(account="acc-a", user_id="clara"))
    other = await world.create(given, headers)
    assert (first.owner, other.owner) == ("user:anna", "user:clara")
    assert first.id != other.id


async def test_an_empty_key_is_none(world: World) -> None:
    first, other = [await world.create(headers={b"idempotency-key": b""}) for _ in range(2)]
    assert first.id != other.id


async def test_a_body_that_is_repeated_with_its_key_leaves_one_file(world: World) -> None:
    requests = [{"custom_id": "a", "params": PARAMS}]
    first, again = [await world.messages(requests, headers={b"idempotency-key": b"one"}) for _ in range(2)]
    assert first.id == again.id
    assert list(world.rows.rows) == [doc_of(first).input_file_id]
    with pytest.raises(IdempotencyKeyReused):
        await world.messages([*requests, {"custom_id": "b", "params": PARAMS}], headers={b"idempotency-key": b"one"})
    assert list(world.rows.rows) == [doc_of(first).input_file_id]


async def test_what_the_store_cannot_hold_is_the_callers_fault(world: World) -> None:
    async def refuse(_batch: Any) -> BatchRow:
        raise Refused("a character")

    world.work.create = refuse  # type: ignore[assignment,method-assign]
    with pytest.raises(InvalidRequest, match="cannot be stored"):
        await world.create()


async def test_results_are_told_line_by_line_of_both_files(world: World) -> None:
    row = await world.messages([{"custom_id": "a", "params": PARAMS}])
    with pytest.raises(ObjectNotFound, match="no results yet"):
        await world.batches.results("user:anna", row.id)
    good = {"custom_id": "a", "response": {"status_code": 200, "body": {"id": "m"}}, "error": None}
    late = {"custom_id": "b", "response": None, "error": {"code": "batch_expired", "message": "late"}}
    output = await world.file(ANNA, "batch_output", json.dumps(good).encode() + b"\n")
    errors = await world.file(ANNA, "batch_output", json.dumps(late).encode() + b"\n")
    await world.end(row, "expired", output_file_id=output, error_file_id=errors)
    told = [json.loads(one) async for one in await world.batches.results("user:anna", row.id)]
    assert told == [
        {"custom_id": "a", "result": {"type": "succeeded", "message": {"id": "m"}}},
        {"custom_id": "b", "result": {"type": "expired"}},
    ]
    await world.files.delete(EVERYBODY, output)
    with pytest.raises(ObjectNotFound, match="not kept any more"):
        await world.batches.results("user:anna", row.id)


async def test_however_many_read_results_one_goes_on_at_a_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    line = {"custom_id": "a", "response": {"status_code": 200, "body": {"id": "m"}}, "error": None}
    row = await world.messages([{"custom_id": "a", "params": PARAMS}])
    output = await world.file(ANNA, "batch_output", (json.dumps(line).encode() + b"\n") * 10)
    await world.end(row, "completed", output_file_id=output)
    monkeypatch.setattr(service, "TURN_BYTES", 1)
    step, told = 0, list[int]()

    async def count_steps() -> None:
        nonlocal step
        while True:
            step += 1
            await asyncio.sleep(0)

    async def read_all() -> None:
        async for _ in await world.batches.results("user:anna", row.id):
            told.append(step)

    counting = asyncio.create_task(count_steps())
    await asyncio.gather(*(read_all() for _ in range(20)))
    counting.cancel()
    # All but the first lines, which come when they have been read.
    assert len(told) == 200
    assert len(set(told)) >= 180


async def test_a_batch_that_failed_as_a_whole_has_a_result_for_each_request(world: World) -> None:
    row = await world.messages([{"custom_id": name, "params": PARAMS} for name in "ab"])
    error = {"code": "permission_denied", "message": "This API key is blocked"}
    await world.end(row, "failed", errors=[error])
    told = [json.loads(one) async for one in await world.batches.results("user:anna", row.id)]
    assert [one["custom_id"] for one in told] == ["a", "b"]
    assert {one["result"]["error"]["error"]["message"] for one in told} == {"This API key is blocked"}


async def test_a_batch_that_is_cancelled_before_it_is_validated_has_a_result_for_each_request(world: World) -> None:
    row = await world.messages([{"custom_id": name, "params": PARAMS} for name in "abc"])
    taken = await world.work.take("me")
    assert taken is not None
    assert await world.work.add_lines(taken.lease, [NewLine(number=1, custom_id="a", offset=0, length=9)])
    await world.batches.cancel("user:anna", "anthropic", row.id)
    taken = await world.work.take("me")
    assert taken is not None
    closed = await world.work.close(taken.lease, "cancelled")
    assert closed is not None
    ended = await finalize(closed, world.work, world.files, lambda: True)
    assert ended is not None
    told = [json.loads(one) async for one in await world.batches.results("user:anna", row.id)]
    assert told == [{"custom_id": name, "result": {"type": "canceled"}} for name in "abc"]
    assert message_batch(ended)["request_counts"]["canceled"] == 3


async def test_a_batch_is_deleted_with_its_files_when_it_is_over(world: World) -> None:
    row = await world.messages([{"custom_id": "a", "params": PARAMS}])
    with pytest.raises(InvalidRequest, match="cancel it"):
        await world.batches.delete("user:anna", "anthropic", row.id)
    output = await world.file(ANNA, "batch_output")
    kept = await world.file(ANNA, "user_data")
    await world.end(row, "completed", output_file_id=output, error_file_id="file-gone")
    await world.batches.delete("user:anna", "anthropic", row.id)
    files, _ = await world.files.list_files(EVERYBODY, Wanted())
    assert [one.id for one in files] == [kept]
    with pytest.raises(ObjectNotFound):
        await world.batches.get("user:anna", "anthropic", row.id)


async def test_a_store_that_is_away_is_said(world: World) -> None:
    async def down(_batch_id: str) -> BatchRow | None:
        raise StoreDown("away")

    world.work.get = down  # type: ignore[assignment,method-assign]
    with pytest.raises(Overloaded) as raised:
        await world.batches.get(EVERYBODY, OPENAI, "batch_1")
    assert raised.value.code == "store_unavailable"
