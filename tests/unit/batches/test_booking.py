from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest
from queued import CHAT

from pointsman.batches.booking import PAGE, PAGE_BYTES, Booking
from pointsman.batches.lines import MAX_NUMBER
from pointsman.batches.protocol.objects import BatchDoc
from pointsman.batches.protocol.providers.base import Got, Progress, Who
from pointsman.batches.protocol.providers.openai import got
from pointsman.config.loading import load
from pointsman.pipeline.targets import Target
from pointsman.pipeline.till import Till
from pointsman.providers.base import Deployment, Price
from pointsman.providers.registry import load_vendors
from pointsman.store.base import SpendEvent
from pointsman.store.work import BatchLease, BatchRow, Result, WorkRecords
from pointsman.telemetry.metrics import Metrics
from pointsman.upstream.settings import Timeouts

VENDORS = load_vendors()


class Desk:
    """The ledger and the store."""

    def __init__(self) -> None:
        self.written: list[list[Result]] = []
        self.events: list[SpendEvent] = []
        self.is_ours = True

    def put(self, event: SpendEvent) -> None:
        self.events.append(event)

    def note(self) -> None: ...

    async def fill(self, _lease: BatchLease, results: Sequence[Result]) -> bool:
        self.written.append(list(results))
        return self.is_ours


def line(number: int, size: int = 0, status: int = 200, tokens: int = 1) -> bytes:
    usage = {"prompt_tokens": tokens, "completion_tokens": 1, "total_tokens": tokens + 1}
    body = {"model": "up-1", "text": "x" * size, "usage": usage}
    response = {"status_code": status, "request_id": "r", "body": body}
    return json.dumps({"custom_id": str(number), "response": response, "error": None}).encode()


def not_run(number: int) -> bytes:
    return json.dumps({"custom_id": str(number), "error": {"code": "batch_expired", "message": "-"}}).encode()


async def results(*lines: bytes) -> AsyncGenerator[Got]:
    for line in lines:
        one = got(line, "house")
        if one is not None:
            yield one


@pytest.fixture
def desk() -> Desk:
    return Desk()


def booking_at(desk: Desk, price: Price) -> Booking:
    till = Till(now=lambda: 2_000.0)
    till.spending = cast("Any", desk)
    deployment = Deployment(
        id="d2",
        model_name="house",
        vendor=VENDORS["openai"],
        upstream_model="up-1",
        base_url="https://api.openai.com/v1",
        price=price,
    )
    target = Target(deployment, cast("Any", None), Timeouts(), Metrics("0"), {})
    row = cast("BatchRow", type("Row", (), {"id": "batch_1", "created_at": 1_000.0, "lease": BatchLease("batch_1", 1)}))
    doc = BatchDoc(endpoint=CHAT, input_file_id="f", model="house")
    progress = Progress(deployment="d1", who=Who("k", team_id="t", tags=("night",)))
    return Booking(cast("WorkRecords", desk), till, row, doc, progress, target)


@pytest.fixture
def booking(desk: Desk) -> Booking:
    return booking_at(desk, Price(input_usd_per_token=Decimal("0.002"), output_usd_per_token=Decimal("0.004")))


async def test_each_line_is_booked_for_whom_it_was_asked_at_half_the_price(booking: Booking, desk: Desk) -> None:
    assert await booking.fill(results(line(1), not_run(2), line(3, status=400, tokens=0)), lambda: True)
    assert [(one.lease.number, one.status, one.is_failed) for one in desk.written[0]] == [
        (1, 200, False),
        (3, 400, True),
    ]
    event = desk.events[0]
    assert (event.id, event.at, event.ended_at, event.cost_nano_usd) == ("batch_1-1", 1_000.0, 2_000.0, 3_000_000)
    assert (event.key_id, event.team_id, event.tags, event.model) == ("k", "t", ("night",), "house")
    assert (event.deployment, event.upstream_model, event.provider) == ("d1", "up-1", "openai")
    assert [one.status for one in desk.events] == ["success", "upstream_error"]


async def test_large_answers_are_written_a_few_at_a_time_and_small_ones_many(booking: Booking, desk: Desk) -> None:
    assert await booking.fill(results(*(line(number) for number in range(1, PAGE + 2))), lambda: True)
    assert [len(one) for one in desk.written] == [PAGE, 1]
    desk.written.clear()
    assert await booking.fill(results(*(line(number, PAGE_BYTES // 2) for number in range(1, 6))), lambda: True)
    assert [len(one) for one in desk.written] == [2, 2, 1]


@pytest.mark.parametrize("is_mine", [True, False])
async def test_nothing_more_is_read_for_a_batch_that_is_somebody_elses(
    booking: Booking, desk: Desk, is_mine: bool
) -> None:
    desk.is_ours = False
    lines = results(*(line(number, PAGE_BYTES) for number in range(1, 4)))
    assert not await booking.fill(lines, lambda: is_mine)
    assert len(desk.written) == is_mine
    assert len(desk.events) == 1
    with pytest.raises(StopAsyncIteration):
        await anext(lines)


async def test_numbers_that_nobody_could_store_are_cut(booking: Booking, desk: Desk) -> None:
    assert await booking.fill(results(line(1, tokens=2**50)), lambda: True)
    [[result]] = desk.written
    assert (result.input_tokens, result.cost_nano_usd) == (MAX_NUMBER, MAX_NUMBER)


@pytest.mark.parametrize(("price", "is_told"), [(Price(), True), (Price(input_usd_per_token=Decimal(0)), False)])
def test_that_nobody_knows_what_it_costs_is_told(
    desk: Desk, caplog: pytest.LogCaptureFixture, price: Price, is_told: bool
) -> None:
    booking_at(desk, price)
    assert ("batch batch_1 is booked at no cost: no price is known of 'up-1'" in caplog.text) is is_told


def test_what_the_manual_shows_has_prices(tmp_path: Path) -> None:
    manual = Path(__file__).parents[3] / "docs/how-to/batches.md"
    shown = [one.split("```")[0] for one in manual.read_text().split("```yaml\n")[1:]]
    examples = [one for one in shown if "batch: provider" in one]
    assert len(examples) == 2
    for number, example in enumerate(examples):
        path = tmp_path / f"{number}.yaml"
        path.write_text(example)
        keys = dict.fromkeys(("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "AZURE_API_KEY"), "k")
        environ = keys | {"AZURE_API_BASE": "https://house.openai.azure.com"}
        snapshot = load(path, environ).snapshot
        assert snapshot is not None
        assert all(one.price.output_usd_per_token for one in snapshot.deployments)
