from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from files import MemoryFiles, make_files
from work import MemoryWork

from pointsman.batches.files import BATCH, Files, NewFile
from pointsman.batches.protocol.objects import BatchDoc, doc_of, plain
from pointsman.batches.settings import BatchSettings
from pointsman.batches.validating import CHUNK, SLICE_LINES, SPARE_LINES, fail, validate
from pointsman.errors import Forbidden, ModelNotFound, Overloaded
from pointsman.store.base import StoreDown
from pointsman.store.work import BatchRow, NewBatch
from pointsman.wire.operations import Operation

OWNER = "key:a"
CHAT = "/v1/chat/completions"


def line(custom_id: str, url: str = CHAT, **body: Any) -> bytes:
    body = {"model": "house", "messages": []} | body
    return json.dumps({"custom_id": custom_id, "method": "POST", "url": url, "body": body}).encode()


def always() -> bool:
    return True


class World:
    """A batch in the state of being validated, of whatever file."""

    def __init__(self, directory: Path) -> None:
        self.work = MemoryWork(now=lambda: 1000.0)
        self.rows = MemoryFiles()
        self.files: Files = make_files(directory, self.rows)
        self.asked: list[str | None] = []

    def may_use(self, _operation: Operation, model: str | None) -> None:
        self.asked.append(model)
        if model not in ("house", "other", None):
            raise ModelNotFound(f"There is no {model}", param="model")

    async def batch(self, data: bytes, kind: str = "openai", endpoint: str = CHAT) -> BatchRow:
        new = NewFile(owner=OWNER, purpose=BATCH, filename="in.jsonl")
        async with self.files.begin(new) as writing:
            await writing.write(data)
            source = await writing.finish()
        doc = BatchDoc(endpoint=endpoint, input_file_id=source.id)
        await self.work.create(NewBatch(id="batch_1", owner=OWNER, kind=kind, doc=plain(doc)))
        taken = await self.work.take("me")
        assert taken is not None
        return taken

    async def validated(self, data: bytes, settings: BatchSettings | None = None, **how: str) -> BatchRow:
        row = await self.batch(data, **how)
        await validate(row, self.work, self.files, always, self.may_use, settings or BatchSettings())
        return await self.row()

    async def row(self) -> BatchRow:
        found = await self.work.get("batch_1")
        assert found is not None
        return found


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def errors(row: BatchRow) -> list[tuple[int | None, str, str | None]]:
    assert row.state == "failed"
    return [(one.line, one.code, one.param) for one in doc_of(row).errors]


async def test_lines_are_to_be_run_when_all_of_them_are_well(world: World) -> None:
    data = b"\n".join([line("a"), b"", b"  \r", line("b", model="other"), line("c") + b"\r", b""])
    row = await world.validated(data)
    assert (row.state, row.total, row.executor, doc_of(row).model) == ("in_progress", 3, "lines", None)
    found = await world.work.lines("batch_1")
    assert [(one.number, one.custom_id) for one in found] == [(1, "a"), (4, "b"), (5, "c")]
    assert [data[one.offset : one.offset + one.length] for one in found] == [
        line("a"),
        line("b", model="other"),
        line("c"),
    ]
    assert world.asked == ["house", "other"]


async def test_the_one_model_of_all_lines_chooses_who_runs_them(world: World) -> None:
    row = await world.batch(b"\n".join([line("a"), line("b")]))
    chosen: list[BatchDoc] = []

    def choose(doc: BatchDoc) -> Any:
        chosen.append(doc)
        return "provider"

    await validate(row, world.work, world.files, always, world.may_use, BatchSettings(), choose)
    row = await world.row()
    assert (row.executor, doc_of(row).model, [doc.model for doc in chosen]) == ("provider", "house", ["house"])


async def test_each_fault_is_told_with_its_line_and_nothing_is_run(world: World) -> None:
    data = b"\n".join(
        [
            line("a"),
            b"{",
            line("a"),
            line("c", url="/v1/embeddings", input="x"),
            line("d", model="nobody"),
            line("e", messages=7),
            line("f"),
        ]
    )
    row = await world.validated(data)
    assert errors(row) == [
        (2, "invalid_json_line", None),
        (3, "duplicate_custom_id", "custom_id"),
        (4, "invalid_url", "url"),
        (5, "model_not_found", "body.model"),
        (6, "invalid_request", "body.messages"),
    ]
    assert (row.total, await world.work.claim("me", 10)) == (0, [])


@pytest.mark.parametrize("data", [b"", b"\n\n", b"  \n"])
async def test_a_file_without_requests_is_told_as_empty(world: World, data: bytes) -> None:
    assert errors(await world.validated(data)) == [(None, "empty_file", None)]


async def test_a_long_line_is_never_held(world: World) -> None:
    data = b"\n".join([line("a"), line("b", user="x" * 3_000_000), line("c")])
    row = await world.validated(data)
    assert errors(row) == [(2, "line_too_long", None)]
    assert "at most 1048576" in doc_of(row).errors[0].message


async def test_a_file_with_too_many_lines_is_told_so(world: World) -> None:
    settings = BatchSettings(max_requests=3)
    row = await world.validated(b"\n".join([line(str(n)) for n in range(3)] + [b"{"] * 3), settings)
    assert errors(row) == [(4, "invalid_json_line", None), (None, "too_many_lines", None)]


@pytest.mark.parametrize("empty", [b"\n", b" \r\n"])
async def test_not_more_empty_lines_are_read_than_a_file_of_any_use_has(world: World, empty: bytes) -> None:
    settings = BatchSettings(max_requests=3)
    most = 2 * 3 + SPARE_LINES
    row = await world.validated(empty * (most + 1) + line("a"), settings)
    assert errors(row) == [(None, "too_many_lines", None)]
    assert world.asked == []


async def test_some_empty_lines_do_no_harm(world: World) -> None:
    row = await world.validated(b"\n" * SPARE_LINES + line("a"), BatchSettings(max_requests=3))
    assert (row.state, row.total) == ("in_progress", 1)


async def test_no_more_errors_are_told_than_are_of_use(world: World) -> None:
    row = await world.validated(b"{\n" * 50, BatchSettings(max_errors=5))
    assert [number for number, _, _ in errors(row)] == [1, 2, 3, 4, 5]


async def test_bodies_of_anthropics_batches_are_left_to_whoever_runs_them(world: World) -> None:
    data = line("a", url="/v1/messages", model="nobody", messages=7)
    row = await world.validated(data, kind="anthropic", endpoint="/v1/messages")
    assert (row.state, row.total, world.asked) == ("in_progress", 1, [])


async def test_a_file_that_is_gone_is_told(world: World) -> None:
    row = await world.batch(line("a"))
    await world.files.delete(OWNER, doc_of(row).input_file_id)
    await validate(row, world.work, world.files, always, world.may_use, BatchSettings())
    assert errors(await world.row()) == [(None, "file_not_found", None)]


async def test_whoever_begins_anew_adds_no_line_twice(world: World) -> None:
    row = await world.batch(b"\n".join(line(str(n)) for n in range(100)))
    await world.work.add_lines(row.lease, [])
    await validate(row, world.work, world.files, always, world.may_use, BatchSettings())
    assert (await world.row()).total == 100


async def test_many_lines_are_added_in_chunks(world: World) -> None:
    chunks: list[int] = []
    add_lines = world.work.add_lines

    async def counted(lease: Any, lines: Any) -> bool:
        chunks.append(len(lines))
        return await add_lines(lease, lines)

    world.work.add_lines = counted  # type: ignore[method-assign]
    count = CHUNK + 3 * SLICE_LINES
    row = await world.validated(b"\n".join(line(str(n)) for n in range(count)))
    assert (row.total, sum(chunks), len(chunks)) == (count, count, 2)


async def test_who_hears_that_somebody_else_has_the_batch_reads_no_further(world: World) -> None:
    row = await world.batch(b"\n".join(line(str(n)) for n in range(5 * SLICE_LINES)))
    heard = iter([True, False])
    await validate(row, world.work, world.files, lambda: next(heard), world.may_use, BatchSettings())
    assert next(heard, None) is None
    assert (await world.row()).state == "validating"
    assert await world.work.lines("batch_1") == []


async def test_nothing_is_done_when_the_batch_was_cancelled_meanwhile(world: World) -> None:
    row = await world.batch(line("a"))
    await world.work.cancel("batch_1")
    await validate(row, world.work, world.files, always, world.may_use, BatchSettings())
    assert (await world.row()).state == "cancelling"


def stores_down(world: World) -> None:
    async def down(*_args: Any) -> bool:
        raise StoreDown("away")

    world.work.add_lines = down  # type: ignore[assignment,method-assign]


def files_down(world: World) -> None:
    world.rows.is_down = True


@pytest.mark.parametrize(("break_", "error"), [(stores_down, StoreDown), (files_down, Overloaded)])
async def test_what_is_away_fails_no_batch(
    world: World, break_: Callable[[World], None], error: type[Exception]
) -> None:
    row = await world.batch(line("a"))
    break_(world)
    with pytest.raises(error):
        await validate(row, world.work, world.files, always, world.may_use, BatchSettings())
    assert (await world.row()).state == "validating"


async def test_a_batch_that_cannot_be_begun_is_told_why(world: World) -> None:
    row = await world.batch(line("a"))
    await fail(row, world.work, Forbidden("This API key is blocked"))
    row = await world.row()
    assert errors(row) == [(None, "permission_denied", None)]
    assert doc_of(row).errors[0].message == "This API key is blocked"
