"""However a batch ends, what is told of it is true: cancelled, out of time, no room, no store, no upstream."""

from __future__ import annotations

import asyncio
import resource
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest
from contract.databases import new_database, postgres_or_skip
from contract.postgres import PostgresServer
from openai import APIStatusError, OpenAI
from openai.types import Batch
from system.batching import CHAT, MASTER, SALT, client, config, ended, jsonl, lines, make_key, read, submit, until
from system.process import Gateway
from system.upstream.answers import answer_to
from system.upstream.script import Answer, Gate, Received, error_answer, json_answer
from system.upstream.server import FakeUpstream

FEW = "batches: {max_concurrency: 4}"
MEBIBYTE = 1 << 20


@pytest.fixture
def fake() -> Iterator[FakeUpstream]:
    with FakeUpstream() as server:
        yield server


@pytest.fixture
def postgres() -> Iterator[PostgresServer]:
    made = postgres_or_skip()
    yield made
    made.close()


def held(fake: FakeUpstream) -> Gate:
    """The upstream answers nothing before this is opened."""
    gate = fake.gate()
    good = answer_to(Received("POST", "/v1/chat/completions", [], b'{"model": "gpt", "messages": []}'))
    fake.answers("gpt", Answer(steps=(gate, *good.steps), framing="chunked"))
    return gate


def counts(batch: Batch) -> tuple[int, int, int]:
    found = batch.request_counts
    assert found is not None
    return found.total, found.completed, found.failed


def files(openai: OpenAI, batch: Batch) -> tuple[list[Any], list[Any]]:
    """Its output and its errors, of which each line stands in one, once."""
    output, errors = read(openai, batch.output_file_id), read(openai, batch.error_file_id)
    ids = [one["custom_id"] for one in output + errors]
    assert len(ids) == len(set(ids)) == counts(batch)[0]
    return output, errors


def change(home: Path, statement: str) -> None:
    """Change a row of the gateway's own database, such as what time it is for a batch."""
    with closing(sqlite3.connect(home / "data" / "pointsman.db", timeout=10)) as database, database:
        assert database.execute(statement).rowcount == 1


def lines_of(home: Path, batch_id: str, condition: str = "TRUE") -> int:
    """How many of its lines are in the gateway's own database, and so."""
    asked = f"SELECT count(*) FROM batch_lines WHERE batch = ? AND {condition}"
    with closing(sqlite3.connect(home / "data" / "pointsman.db", timeout=10)) as database:
        return int(database.execute(asked, (batch_id,)).fetchone()[0])


@pytest.mark.requirement("batches.cancel")
def test_what_was_done_before_a_batch_was_cancelled_is_kept(tmp_path: Path, fake: FakeUpstream) -> None:
    gate = held(fake)
    with Gateway(tmp_path, config(fake.base_url, FEW)) as gateway, client(gateway) as openai:
        made = submit(openai, jsonl(lines(20)))
        assert gate.reached.wait(20)
        assert openai.batches.cancel(made.id).status == "cancelling"
        assert openai.batches.retrieve(made.id).status == "cancelling"
        gate.open()
        batch = ended(openai, made.id)
        assert (batch.status, batch.completed_at) == ("cancelled", None)
        assert batch.cancelling_at is not None
        assert batch.cancelled_at is not None
        output, errors = files(openai, batch)
        assert counts(batch) == (20, len(output), 0)
        assert len(output) == len(fake.requests("gpt")) < 20
        assert {one["error"]["code"] for one in errors} == {"batch_cancelled"}


@pytest.mark.requirement("batches.cancel")
def test_a_batch_that_was_never_begun_is_cancelled_too(tmp_path: Path, fake: FakeUpstream) -> None:
    gate = held(fake)
    alone = config(fake.base_url, "batches: {max_concurrency: 1}")
    with Gateway(tmp_path, alone) as gateway, client(gateway) as openai:
        first, second = (submit(openai, jsonl(lines(2))) for _ in range(2))
        assert gate.reached.wait(20)
        openai.batches.cancel(second.id)
        # What waited for its turn is given back.
        until(lambda: lines_of(tmp_path, second.id, "holder != ''"), lambda count: count == 0)
        gate.open()
        assert ended(openai, first.id).status == "completed"
        batch = ended(openai, second.id)
        assert batch.status == "cancelled"
        output, errors = files(openai, batch)
        assert output == []
        assert {one["error"]["code"] for one in errors} <= {"batch_cancelled"}


@pytest.mark.requirement("batches.cancel")
def test_what_was_read_of_a_batch_before_it_was_cancelled_is_told_whole_or_not_at_all(
    tmp_path: Path, fake: FakeUpstream
) -> None:
    gate = held(fake)
    with Gateway(tmp_path, config(fake.base_url, FEW)) as gateway, client(gateway) as openai:
        made = submit(openai, jsonl(lines(30_000)))
        until(lambda: lines_of(tmp_path, made.id), lambda count: count > 0)
        openai.batches.cancel(made.id)
        gate.open()
        batch = ended(openai, made.id)
        assert batch.status == "cancelled"
        assert counts(batch)[0] in {0, 30_000}
        files(openai, batch)


@pytest.mark.requirement("batches.pause")
def test_an_operator_holds_a_batch_and_lets_it_go_on(tmp_path: Path, fake: FakeUpstream) -> None:
    gate = held(fake)
    with Gateway(tmp_path, config(fake.base_url, FEW)) as gateway, client(gateway) as openai:
        made = submit(openai, jsonl(lines(20)))
        assert gate.reached.wait(20)
        paused = gateway.post(f"/v1/batches/{made.id}/pause", {}, key=MASTER)
        assert (paused.status, paused.json["is_paused"]) == (200, True)
        # What does not run yet is given back, and nothing else is begun.
        begun = until(
            lambda: len(fake.requests("gpt")), lambda count: lines_of(tmp_path, made.id, "holder != ''") == count
        )
        assert 0 < begun < 20
        gate.open()
        other = ended(openai, submit(openai, jsonl(lines(3))).id)
        assert counts(other) == (3, 3, 0)
        waiting = until(lambda: openai.batches.retrieve(made.id), lambda batch: counts(batch) == (20, begun, 0))
        assert waiting.status == "in_progress"
        assert len(fake.requests("gpt")) == begun + 3
        assert gateway.post(f"/v1/batches/{made.id}/resume", {}, key=MASTER).status == 200
        batch = ended(openai, made.id)
        assert (batch.status, counts(batch), len(fake.requests("gpt"))) == ("completed", (20, 20, 0), 23)


@pytest.mark.requirement("batches.expiry")
def test_what_was_not_done_in_time_is_told_as_expired(tmp_path: Path, fake: FakeUpstream) -> None:
    gate = held(fake)
    with Gateway(tmp_path, config(fake.base_url, FEW)) as gateway, client(gateway) as openai:
        made = submit(openai, jsonl(lines(20)))
        assert gate.reached.wait(20)
        change(tmp_path, f"UPDATE batches SET expires_at = {time.time()} WHERE id = '{made.id}'")
        gate.open()
        batch = ended(openai, made.id)
        assert (batch.status, batch.completed_at) == ("expired", None)
        assert batch.expired_at is not None
        output, errors = files(openai, batch)
        assert counts(batch) == (20, len(output), 0)
        assert len(output) < 20
        assert {one["error"]["code"] for one in errors} == {"batch_expired"}


@pytest.mark.requirement("batches.outage")
def test_an_upstream_that_comes_back_leaves_no_trace(tmp_path: Path, fake: FakeUpstream) -> None:
    away = error_answer(503, "away", kind="server_error")
    good = answer_to(Received("POST", "/v1/chat/completions", [], b'{"model": "gpt", "messages": []}'))
    fake.answers("gpt", away, away, away, good)
    with Gateway(tmp_path, config(fake.base_url, FEW)) as gateway, client(gateway) as openai:
        batch = ended(openai, submit(openai, jsonl(lines(10))).id)
        assert (batch.status, counts(batch)) == ("completed", (10, 10, 0))
        files(openai, batch)
        assert len(fake.requests("gpt")) == 13


@pytest.mark.requirement("batches.outage")
def test_a_batch_whose_upstream_stays_away_waits_and_can_be_cancelled(tmp_path: Path, closed_port: int) -> None:
    with Gateway(tmp_path, config(f"http://127.0.0.1:{closed_port}/v1", FEW)) as gateway, client(gateway) as openai:
        gateway.key = MASTER
        made = submit(openai, jsonl(lines(3)))
        until(lambda: gateway.metric("pointsman_batch_lines_retried_total"), lambda count: count > 0)
        waiting = openai.batches.retrieve(made.id)
        assert (waiting.status, counts(waiting)) == ("in_progress", (3, 0, 0))
        openai.batches.cancel(made.id)
        batch = ended(openai, made.id)
        assert (batch.status, batch.output_file_id, counts(batch)) == ("cancelled", None, (3, 0, 0))
        _, errors = files(openai, batch)
        assert {one["error"]["code"] for one in errors} == {"batch_cancelled"}


@pytest.mark.requirement("batches.yields")
def test_a_batch_leaves_clients_a_place_where_a_deployment_has_few(tmp_path: Path, fake: FakeUpstream) -> None:
    gate = held(fake)
    limited = config(fake.base_url, FEW).replace("sk-upstream}", "sk-upstream, max_parallel_requests: 2}")
    with Gateway(tmp_path, limited) as gateway, client(gateway) as openai:
        gateway.key = MASTER
        made = submit(openai, jsonl(lines(10)))
        assert gate.reached.wait(20)
        # Others had their turn, and were told to come again.
        until(lambda: gateway.metric("pointsman_batch_lines_retried_total"), lambda count: count > 0)
        assert len(fake.requests("gpt")) == 1
        chat = {"model": "house", "messages": [{"role": "user", "content": "Hello"}]}
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(gateway.post, CHAT, chat, key=MASTER)
            until(lambda: len(fake.requests("gpt")), lambda count: count == 2)
            gate.open()
            assert answer.result().status == 200
        batch = ended(openai, made.id)
        assert (batch.status, counts(batch)) == ("completed", (10, 10, 0))


def test_a_limit_is_waited_for(tmp_path: Path, fake: FakeUpstream) -> None:
    busy = error_answer(429, "slowly", kind="rate_limit_error", headers=(("retry-after", "1"),))
    good = answer_to(Received("POST", "/v1/chat/completions", [], b'{"model": "gpt", "messages": []}'))
    fake.answers("gpt", busy, good)
    with Gateway(tmp_path, config(fake.base_url, FEW)) as gateway, client(gateway) as openai:
        batch = ended(openai, submit(openai, jsonl(lines(10))).id)
        assert (batch.status, counts(batch)) == ("completed", (10, 10, 0))


def test_a_key_that_is_blocked_meanwhile_has_nothing_more_run(tmp_path: Path, fake: FakeUpstream) -> None:
    gate = held(fake)
    with Gateway(tmp_path, config(fake.base_url, FEW)) as gateway:
        key = make_key(gateway, user_id="anna")
        with client(gateway, key) as anna, client(gateway) as master:
            made = submit(anna, jsonl(lines(20)))
            assert gate.reached.wait(20)
            assert gateway.post("/key/block", {"key": key}, key=MASTER).status == 200
            gate.open()
            batch = ended(master, made.id)
            assert batch.status == "completed"
            output, errors = files(master, batch)
            assert counts(batch) == (20, len(output), len(errors))
            assert len(output) == len(fake.requests("gpt")) < 20
            assert {one["response"]["status_code"] for one in errors} == {403}


def test_a_restart_loses_nothing_and_runs_nothing_twice_that_was_done(tmp_path: Path, fake: FakeUpstream) -> None:
    settings = config(fake.base_url, FEW)
    with Gateway(tmp_path, settings) as gateway, client(gateway) as openai:
        made = submit(openai, jsonl(lines(200)))
        until(lambda: len(fake.requests("gpt")), lambda count: count > 10)
    with Gateway(tmp_path, settings) as gateway, client(gateway) as openai:
        batch = ended(openai, made.id)
        assert (batch.status, counts(batch)) == ("completed", (200, 200, 0))
        files(openai, batch)
        assert 200 <= len(fake.requests("gpt")) <= 204


@pytest.mark.requirement("batches.store-away")
def test_a_store_that_is_away_is_told_and_the_batch_goes_on_afterwards(
    tmp_path: Path, fake: FakeUpstream, postgres: PostgresServer
) -> None:
    gate = held(fake)
    variables = {"DATABASE_URL": asyncio.run(new_database(postgres)), **SALT}
    with Gateway(tmp_path, config(fake.base_url, FEW), env=variables) as gateway, client(gateway) as openai:
        made = submit(openai, jsonl(lines(20)))
        assert gate.reached.wait(20)
        postgres.kill()
        gate.open()
        for call in (openai.batches.retrieve, openai.batches.cancel):
            with pytest.raises(APIStatusError) as raised:
                call(made.id)
            assert (raised.value.status_code, raised.value.code) == (503, "store_unavailable")
        postgres.start()
        until(lambda: gateway.get(f"/v1/batches/{made.id}", key=MASTER).status, lambda status: status == 200)
        batch = ended(openai, made.id, 120)
        assert (batch.status, counts(batch)) == ("completed", (20, 20, 0))
        files(openai, batch)


@pytest.mark.requirement("batches.disk-full")
def test_a_batch_waits_for_room_for_its_files(tmp_path: Path, fake: FakeUpstream, postgres: PostgresServer) -> None:
    long = {"role": "assistant", "content": "x" * 300_000}
    answer = {"id": "c", "object": "chat.completion", "created": 1, "model": "gpt"}
    gate = fake.gate()
    body = json_answer(answer | {"choices": [{"index": 0, "message": long, "finish_reason": "stop"}]})
    fake.answers("gpt", Answer(steps=(gate, *body.steps), framing="chunked"))
    url = asyncio.run(new_database(postgres))
    variables = {"DATABASE_URL": url, **SALT}
    with Gateway(tmp_path, config(fake.base_url), env=variables) as gateway, client(gateway) as openai:
        made = submit(openai, jsonl(lines(5)))
        assert gate.reached.wait(20)
        # No file may become larger than that, which is told as a disk that is full.
        resource.prlimit(gateway.process.pid, resource.RLIMIT_FSIZE, (MEBIBYTE, resource.RLIM_INFINITY))
        gate.open()
        until(lambda: gateway.stderr, lambda told: "waits for room" in told)
        batch = openai.batches.retrieve(made.id)
        assert (batch.status, batch.output_file_id, counts(batch)) == ("finalizing", None, (5, 5, 0))
        resource.prlimit(gateway.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        asyncio.run(soon(url))
        batch = ended(openai, made.id)
        assert batch.status == "completed"
        assert len(files(openai, batch)[0]) == 5


async def soon(url: str) -> None:
    """It is time to try again."""
    address, _, schema = url.partition("?schema=")
    connection = await asyncpg.connect(address)
    try:
        await connection.execute(f"UPDATE {schema}.batches SET ready_at = 0")
    finally:
        await connection.close()
