"""Anthropic's batches of messages with the official SDK, on each store."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from anthropic import Anthropic, BadRequestError, NotFoundError
from contract.databases import new_database, postgres_or_skip
from contract.postgres import PostgresServer
from system.batching import CONFIG, MASTER, SALT, client, until
from system.process import Gateway


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    made = postgres_or_skip()
    yield made
    made.close()


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def gateway(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    variables = {}
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres")
        variables = {"DATABASE_URL": asyncio.run(new_database(server)), **SALT}
    with Gateway(tmp_path_factory.mktemp("batches"), CONFIG, env=variables) as running:
        yield running


@pytest.fixture
def anthropic(gateway: Gateway) -> Iterator[Anthropic]:
    with Anthropic(base_url=gateway.base_url, api_key=MASTER, max_retries=0, timeout=30) as sdk:
        yield sdk


def request(custom_id: str, **params: Any) -> Any:
    messages = [{"role": "user", "content": f"Hello {custom_id}"}]
    return {"custom_id": custom_id, "params": {"model": "house", "max_tokens": 8, "messages": messages} | params}


def ended(anthropic: Anthropic, batch_id: str) -> Any:
    return until(
        lambda: anthropic.messages.batches.retrieve(batch_id), lambda batch: batch.processing_status == "ended"
    )


@pytest.mark.requirement("batches.anthropic")
def test_the_sdks_flow_goes_from_the_requests_to_their_results(anthropic: Anthropic) -> None:
    requests = [request(f"r{number}") for number in range(10)]
    requests += [request("unknown", model="nobody"), request("wrong", max_tokens="many")]
    made = anthropic.messages.batches.create(requests=requests)
    assert made.processing_status == "in_progress"
    assert made.request_counts.processing == 12
    assert made.results_url is None
    batch = ended(anthropic, made.id)
    counts = batch.request_counts
    assert (counts.processing, counts.succeeded, counts.errored, counts.canceled) == (0, 10, 2, 0)
    results = {one.custom_id: one.result for one in anthropic.messages.batches.results(made.id)}
    assert len(results) == 12
    for number in range(10):
        result: Any = results[f"r{number}"]
        assert result.type == "succeeded"
        assert (result.message.type, result.message.role, result.message.model) == ("message", "assistant", "house")
        assert result.message.content[0].text
    unknown: Any = results["unknown"]
    assert (unknown.type, unknown.error.error.type) == ("errored", "not_found_error")
    wrong: Any = results["wrong"]
    assert (wrong.type, wrong.error.type, wrong.error.error.type) == ("errored", "error", "invalid_request_error")


def test_a_batch_is_listed_cancelled_and_deleted(anthropic: Anthropic) -> None:
    batches = anthropic.messages.batches
    ids = [batches.create(requests=[request("a")]).id for _ in range(3)]
    page = batches.list(limit=2)
    assert ([one.id for one in page.data], page.has_more) == ([ids[2], ids[1]], True)
    assert [one.id for one in batches.list(limit=2)][:3] == ids[::-1]
    assert [one.id for one in batches.list(limit=1, before_id=ids[0]).data] == [ids[1]]
    for one in ids:
        ended(anthropic, one)
    assert batches.delete(ids[0]).type == "message_batch_deleted"
    with pytest.raises(NotFoundError):
        batches.retrieve(ids[0])
    with pytest.raises(BadRequestError, match="Cannot cancel"):
        batches.cancel(ids[1])


@pytest.mark.requirement("batches.anthropic")
@pytest.mark.requirement("batches.cancel")
def test_a_batch_that_is_cancelled_at_once_has_a_result_for_each_request(anthropic: Anthropic) -> None:
    batches = anthropic.messages.batches
    made = batches.create(requests=[request(f"r{number}") for number in range(7_000)])
    assert batches.cancel(made.id).processing_status in {"canceling", "ended"}
    batch = ended(anthropic, made.id)
    results = {one.custom_id: one.result.type for one in batches.results(made.id)}
    assert results.keys() == {f"r{number}" for number in range(7_000)}
    types = Counter(results.values())
    assert types["canceled"] == batch.request_counts.canceled > 0
    assert types["succeeded"] == batch.request_counts.succeeded


def test_what_is_wrong_with_a_body_is_said_by_its_place(anthropic: Anthropic) -> None:
    with pytest.raises(BadRequestError, match=r"requests\.1\.custom_id"):
        anthropic.messages.batches.create(requests=[request("a"), request("a")])
    with pytest.raises(BadRequestError, match="requests: must not be empty"):
        anthropic.messages.batches.create(requests=[])


def test_the_batches_of_one_api_are_not_those_of_the_other(anthropic: Anthropic, gateway: Gateway) -> None:
    made = anthropic.messages.batches.create(requests=[request("a")])
    assert gateway.get(f"/v1/batches/{made.id}", key=MASTER).status == 404
    with client(gateway) as openai:
        assert made.id not in [one.id for one in openai.batches.list()]
    ended(anthropic, made.id)
