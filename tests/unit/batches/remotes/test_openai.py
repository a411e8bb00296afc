from __future__ import annotations

import pytest
from batch_providers import BatchProvider, Dialect
from batch_wires import CHAT, Wire, order_of, target_at

from pointsman.batches.remotes import openai
from pointsman.batches.remotes.openai import OpenAiRemote
from pointsman.errors import UpstreamRejected

BODY = b'{"model":"house","messages":[]}'
LINE = b'{"custom_id":"1","method":"POST","url":"/v1/chat/completions","body":{"model":"up-1","messages":[]}}\n'


def at(wire: Wire, dialect: Dialect = "openai") -> OpenAiRemote:
    return OpenAiRemote(target_at(wire, dialect))


@pytest.mark.parametrize("dialect", ["openai", "azure"])
async def test_a_file_is_uploaded_and_a_batch_made_of_it_as_the_provider_documents_it(dialect: Dialect) -> None:
    provider = BatchProvider(dialect)
    one = at(Wire(provider.answer), dialect)
    made = await one.upload(order_of(BODY, BODY))
    assert provider.files == {made.id: LINE + LINE.replace(b'"1"', b'"2"')}
    assert made.is_pending == (dialect == "azure")
    provider.processed()
    assert not (await one.file(made.id)).is_pending
    told = await one.make(made.id, CHAT, "batch_7")
    assert (told.is_over, told.files) == (False, [])
    provider.begin()
    await one.cancel(told.id)
    assert provider.batches[told.id]["status"] == "cancelling"
    assert not (await one.state(told.id)).is_over
    provider.end("cancelled", 1)
    state = await one.state(told.id)
    assert (state.is_over, len(state.results), state.problem) == (True, 2, "cancelled: null")
    assert [found.number async for found in one.results(order_of(), state)] == [1]


async def test_a_batch_is_found_among_many_by_its_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    provider = BatchProvider()
    one = at(Wire(provider.answer))
    file = (await one.upload(order_of(BODY))).id
    made = [(await one.make(file, CHAT, f"batch_{number}")).id for number in range(250)]
    found = await one.marked("batch_0")
    assert found is not None
    assert found.id == made[0]
    assert await one.marked("batch_251") is None
    monkeypatch.setattr(openai, "MAX_PAGES", 2)
    assert await one.marked("batch_0") is None


async def test_the_question_for_a_batch_is_one_that_is_never_sent_again() -> None:
    provider = BatchProvider()
    wire = Wire(provider.answer)
    one = at(wire)
    made = await one.upload(order_of(BODY))
    await one.make(made.id, CHAT, "batch_7")
    assert len(provider.batches) == 1
    assert wire.repeatable == []


async def test_ids_are_put_into_paths_as_text() -> None:
    asked: list[str] = []

    def answer(method: str, target: str, _headers: dict[str, str], _body: bytes) -> tuple[int, bytes]:
        asked.append(f"{method} {target}")
        return 404, b""

    with pytest.raises(UpstreamRejected):
        await at(Wire(answer)).cancel("../a?b c")
    assert asked == ["POST /v1/batches/..%2Fa%3Fb%20c/cancel"]


def test_it_takes_requests_of_openais_and_no_header_that_each_would_need() -> None:
    one = at(Wire(BatchProvider().answer))
    assert one.takes(CHAT, {})
    assert not one.takes("/v1/messages", {})
    assert not one.takes(CHAT, {"openai-beta": "x"})
