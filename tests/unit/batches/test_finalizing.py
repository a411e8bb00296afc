from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from queued import OWNER, Queue

from pointsman.batches import finalizing
from pointsman.batches.files import EVERYBODY, OUTPUT
from pointsman.batches.finalizing import finalize
from pointsman.batches.protocol.objects import doc_of
from pointsman.errors import ObjectNotFound
from pointsman.store.work import BatchRow, Claimed, Result


class World(Queue):
    """A batch that is to be ended."""

    async def finish(self, *statuses: int, batch_id: str = "batch_1") -> None:
        """Let lines have come to these ends."""
        claimed: list[Claimed] = await self.work.claim("me", len(statuses)) if statuses else []
        results = [
            Result(
                lease=line.lease,
                status=status,
                body=b'{"n":%d}' % line.lease.number,
                request_id="r",
                is_failed=status != 200,
            )
            for line, status in zip(claimed, statuses, strict=True)
        ]
        assert not await self.work.finish(results)

    async def taken(self) -> BatchRow:
        found = await self.work.take("me")
        assert found is not None
        return found

    async def read(self, file_id: str | None) -> list[Any]:
        assert file_id is not None
        row = await self.files.find(OWNER, file_id)
        assert (row.purpose, row.owner) == (OUTPUT, OWNER)
        return [json.loads(line.data or b"") async for line in self.files.lines(row)]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_answers_are_in_the_output_file_and_failures_in_the_error_file_in_the_order_of_the_lines(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finalizing, "PAGE", 2)
    monkeypatch.setattr(finalizing, "PIECE_BYTES", 1)
    await world.add("a", "b", "c", 'd"\u00e9')
    await world.finish(200, 400, 200, 200)
    ended = await finalize(await world.taken(), world.work, world.files, lambda: True)
    assert ended is not None
    assert ended.state == "completed"
    doc = doc_of(ended)
    output, errors = await world.read(doc.output_file_id), await world.read(doc.error_file_id)
    assert [line["custom_id"] for line in output] == ["a", "c", 'd"\u00e9']
    assert output[0]["response"] == {"status_code": 200, "request_id": "r", "body": {"n": 1}}
    assert output[0]["error"] is None
    assert len({line["id"] for line in output + errors}) == 4
    [failed] = errors
    assert (failed["custom_id"], failed["response"]["status_code"], failed["error"]) == ("b", 400, None)
    assert await world.work.lines("batch_1") == []


async def test_nothing_in_an_answer_ends_its_line_for_whoever_reads_it(world: World) -> None:
    ends = "\x85\u2028\u2029"
    await world.add("a" + ends)
    [line] = await world.work.claim("me", 1)
    body = json.dumps({"text": "\u00e9" + ends}, ensure_ascii=False).encode()
    await world.work.finish([Result(lease=line.lease, status=200, body=body)])
    ended = await finalize(await world.taken(), world.work, world.files, lambda: True)
    assert ended is not None
    row = await world.files.find(OWNER, doc_of(ended).output_file_id or "")
    text = b"".join([piece async for piece in world.files.read(row)]).decode()
    [told] = map(json.loads, text.splitlines())
    assert (told["custom_id"], told["response"]["body"]) == ("a" + ends, {"text": "\u00e9" + ends})


async def test_a_file_that_would_be_empty_is_not_there(world: World) -> None:
    await world.add("a")
    await world.finish(200)
    ended = await finalize(await world.taken(), world.work, world.files, lambda: True)
    assert ended is not None
    assert doc_of(ended).error_file_id is None
    assert len(world.rows.rows) == 2


@pytest.mark.requirement("batches.cancel")
async def test_of_a_cancelled_batch_what_is_done_is_kept_and_the_rest_says_that_it_was_not_run(world: World) -> None:
    await world.add("a", "b")
    await world.finish(200)
    await world.work.cancel("batch_1")
    row = await world.taken()
    closed = await world.work.close(row.lease, "cancelled")
    assert closed is not None
    ended = await finalize(closed, world.work, world.files, lambda: True)
    assert ended is not None
    assert (ended.state, ended.completed, ended.failed) == ("cancelled", 1, 0)
    doc = doc_of(ended)
    assert [line["custom_id"] for line in await world.read(doc.output_file_id)] == ["a"]
    [rest] = await world.read(doc.error_file_id)
    assert (rest["custom_id"], rest["response"], rest["error"]["code"]) == ("b", None, "batch_cancelled")


@pytest.mark.requirement("batches.cancel")
async def test_a_batch_that_is_cancelled_before_it_was_validated_has_no_files(world: World) -> None:
    await world.add("a", "b", is_validated=False)
    row = await world.taken()
    assert await world.work.add_lines(row.lease, world.lines(["a"]))
    await world.work.cancel("batch_1")
    closed = await world.work.close((await world.taken()).lease, "cancelled")
    assert closed is not None
    ended = await finalize(closed, world.work, world.files, lambda: True)
    assert ended is not None
    doc = doc_of(ended)
    assert (ended.state, doc.output_file_id, doc.error_file_id) == ("cancelled", None, None)
    assert list(world.rows.rows) == [doc.input_file_id]
    assert await world.work.lines("batch_1") == []


@pytest.mark.requirement("batches.killed")
async def test_whoever_comes_after_one_who_was_killed_writes_the_same_files(world: World) -> None:
    await world.add("a", "b")
    await world.finish(200, 400)
    row = await world.taken()
    ends = world.work.end

    async def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    world.work.end = killed  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        await finalize(row, world.work, world.files, lambda: True)
    before = set(world.rows.rows)
    world.work.end = ends  # type: ignore[method-assign]
    world.now += 100.0
    ended = await finalize(await world.taken(), world.work, world.files, lambda: True)
    assert ended is not None
    assert set(world.rows.rows) == before
    assert len(await world.read(doc_of(ended).output_file_id)) == 1


async def test_who_is_too_late_changes_nothing(world: World) -> None:
    await world.add("a")
    await world.finish(200)
    late = await world.taken()
    assert await finalize(late, world.work, world.files, lambda: False) is None
    world.now += 100.0
    ended = await finalize(await world.taken(), world.work, world.files, lambda: True)
    assert ended is not None
    # The lines are gone: what is written of them now would be too little.
    assert await finalize(late, world.work, world.files, lambda: True) is None
    assert len(await world.read(doc_of(ended).output_file_id)) == 1


async def test_files_expire_when_whoever_made_the_batch_wants_it(world: World) -> None:
    await world.add("a")
    await world.finish(200)
    row = await world.taken()
    assert await world.work.leave(
        row.lease, doc=row.doc | {"output_expires_after": {"anchor": "created_at", "seconds": 7200}}
    )
    ended = await finalize(await world.taken(), world.work, world.files, lambda: True)
    assert ended is not None
    output = await world.files.find(EVERYBODY, doc_of(ended).output_file_id or "")
    assert output.expires_at == output.created_at + 7200
    with pytest.raises(ObjectNotFound):
        await world.files.find("key:b", output.id)
