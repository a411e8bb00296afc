"""OpenAI's batches, from the upload to the output file, on each store."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from contract.databases import new_database, postgres_or_skip
from contract.postgres import PostgresServer
from openai import BadRequestError, NotFoundError
from system.batching import (
    CHAT,
    CONFIG,
    MASTER,
    SALT,
    client,
    ended,
    jsonl,
    line,
    lines,
    make_key,
    read,
    spend,
    submit,
    upload,
)
from system.process import Gateway


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    made = postgres_or_skip()
    yield made
    made.close()


@pytest.fixture(scope="module", params=["sqlite", "workers", "postgres"])
def gateway(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    variables = {}
    more = ("--workers", "2") if request.param == "workers" else ()
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres")
        variables = {"DATABASE_URL": asyncio.run(new_database(server)), **SALT}
    with Gateway(tmp_path_factory.mktemp("batches"), CONFIG, *more, env=variables) as running:
        yield running


@pytest.mark.requirement("batches.openai")
def test_the_sdks_flow_goes_from_the_upload_to_the_output_file(gateway: Gateway) -> None:
    key = make_key(gateway)
    with client(gateway, key) as openai:
        made = submit(openai, jsonl(lines(20)), metadata={"run": "one"})
        assert (made.object, made.endpoint, made.completion_window) == ("batch", CHAT, "24h")
        assert made.status in {"validating", "in_progress"}
        batch = ended(openai, made.id)
        assert batch.status == "completed"
        counts = batch.request_counts
        assert counts is not None
        assert (counts.total, counts.completed, counts.failed) == (20, 20, 0)
        moments = [batch.created_at, batch.in_progress_at, batch.finalizing_at, batch.completed_at]
        assert moments == sorted(moment for moment in moments if moment is not None)
        assert (batch.failed_at, batch.errors, batch.error_file_id) == (None, None, None)
        assert batch.metadata == {"run": "one"}
        found = read(openai, batch.output_file_id)
        assert {one["custom_id"] for one in found} == {f"line-{number}" for number in range(20)}
        assert len(found) == 20
        assert len({one["id"] for one in found}) == 20
        for one in found:
            assert one["error"] is None
            assert one["response"]["status_code"] == 200
            assert one["response"]["request_id"]
            assert one["response"]["body"]["model"] == "house"
        usage = [one["response"]["body"]["usage"] for one in found]
        assert batch.usage is not None
        assert batch.usage.total_tokens == sum(one["total_tokens"] for one in usage)
        cost = sum(0.001 * one["prompt_tokens"] + 0.002 * one["completion_tokens"] for one in usage)
        assert sum(row["spend"] for row in spend(gateway, key, 20)) == pytest.approx(cost)
        output = openai.files.retrieve(batch.output_file_id or "")
        assert (output.purpose, output.bytes) == ("batch_output", len(openai.files.content(output.id).content))


def test_embeddings_are_run_too(gateway: Gateway) -> None:
    requests = [
        {"custom_id": f"e{n}", "method": "POST", "url": "/v1/embeddings", "body": {"model": "vectors", "input": "x"}}
        for n in range(3)
    ]
    with client(gateway) as openai:
        batch = ended(openai, submit(openai, jsonl(requests), "/v1/embeddings").id)
        assert batch.status == "completed"
        assert all(one["response"]["body"]["data"] for one in read(openai, batch.output_file_id))


@pytest.mark.requirement("batches.objects")
def test_a_batch_is_found_listed_and_cancelled(gateway: Gateway) -> None:
    with client(gateway) as openai:
        ids = [submit(openai, jsonl(lines(1))).id for _ in range(3)]
        listed = openai.batches.list(limit=2)
        assert [batch.id for batch in listed.data] == [ids[2], ids[1]]
        assert listed.has_more
        everything = [batch.id for batch in openai.batches.list(limit=2)]
        assert everything[:3] == ids[::-1]
        assert len(everything) == len(set(everything))
        for one in ids:
            ended(openai, one)
        with pytest.raises(BadRequestError) as raised:
            openai.batches.cancel(ids[0])
        assert raised.value.code == "batch_is_over"
        with pytest.raises(NotFoundError):
            openai.batches.retrieve("batch_none")


def test_a_request_that_is_repeated_with_its_key_makes_no_second_batch(gateway: Gateway) -> None:
    with client(gateway) as openai:
        asked = {"extra_headers": {"Idempotency-Key": f"once-{gateway.port}"}}
        first, again = (submit(openai, jsonl(lines(2)), **asked) for _ in range(2))
        assert first.id == again.id
        assert ended(openai, first.id).status == "completed"
        refused = gateway.post(
            "/v1/batches",
            {"input_file_id": upload(openai, jsonl(lines(3))), "endpoint": CHAT, "completion_window": "24h"},
            {"idempotency-key": f"once-{gateway.port}"},
            key=MASTER,
        )
        assert (refused.status, refused.error["code"]) == (422, "idempotency_key_reused")


@pytest.mark.requirement("batches.ownership")
def test_what_is_somebody_elses_looks_like_nothing(gateway: Gateway) -> None:
    mine, other = make_key(gateway, user_id="anna"), make_key(gateway, user_id="bert")
    with client(gateway, mine) as anna, client(gateway, other) as bert:
        file_id = upload(anna, jsonl(lines(2)))
        with pytest.raises(BadRequestError) as raised:
            bert.batches.create(input_file_id=file_id, endpoint=CHAT, completion_window="24h")
        assert (raised.value.code, raised.value.param) == ("file_not_found", "input_file_id")
        made = anna.batches.create(input_file_id=file_id, endpoint=CHAT, completion_window="24h")
        batch = ended(anna, made.id)
        assert batch.status == "completed"
        for call in (
            lambda: bert.batches.retrieve(batch.id),
            lambda: bert.batches.cancel(batch.id),
            lambda: bert.files.content(batch.output_file_id or ""),
        ):
            with pytest.raises(NotFoundError):
                call()
        assert list(bert.batches.list()) == []
        assert [one.id for one in anna.batches.list()] == [batch.id]


def test_what_the_model_refuses_stands_in_the_error_file(gateway: Gateway) -> None:
    bad = line("bad", messages=[{"role": "nobody", "content": 7}])
    with client(gateway) as openai:
        batch = ended(openai, submit(openai, jsonl([line("good"), bad])).id)
        assert batch.status == "completed"
        counts = batch.request_counts
        assert counts is not None
        assert (counts.total, counts.completed, counts.failed) == (2, 1, 1)
        assert [one["custom_id"] for one in read(openai, batch.output_file_id)] == ["good"]
        (error,) = read(openai, batch.error_file_id)
        assert error["custom_id"] == "bad"
        assert error["response"]["status_code"] == 400
        assert error["response"]["body"]["error"]["message"]
