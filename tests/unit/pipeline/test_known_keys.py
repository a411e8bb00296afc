from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from records import MemoryRecords

from pointsman.access.caller import Caller, Family, caller_of
from pointsman.access.keys import BudgetRow, Key, Organization, Pepper, Team, Terms, User, to_doc
from pointsman.errors import Forbidden, Overloaded, Unauthenticated
from pointsman.pipeline.known_keys import AT_ONCE, MAX_FLIGHTS, POLL, STRANGER_SECONDS, KnownKeys
from pointsman.store.base import Change
from pointsman.telemetry.tasks import Tasks

PEPPER = Pepper(b"pepper")
KINDS: dict[Any, str] = {Key: "keys", Team: "teams", User: "users", Organization: "organizations", BudgetRow: "budgets"}
A, B = b"sk-a", b"sk-b"
GRACE = 600.0


class Clock:
    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


class House:
    """Keys on records in memory."""

    def __init__(self, most: int = 100) -> None:
        self.records = MemoryRecords()
        self.clock = Clock()
        self.tasks = Tasks(logging.getLogger("tests"), 100)
        self.keys = KnownKeys(
            self.records, PEPPER, self.tasks, clock=self.clock, now=self.clock, grace=GRACE, most=most
        )

    async def put(self, row_id: str, row: Terms | None, kind: type[Terms] | None = None) -> None:
        of = kind or type(row)
        table = KINDS[of]
        await self.records.change([Change(table, row_id, None if row is None else to_doc(row))])

    async def make(self, key: bytes, **terms: Any) -> str:
        row_id = PEPPER.digest(key).hex()
        await self.put(row_id, Key(account=row_id, **terms))
        return row_id

    async def find(self, *shown: bytes) -> Caller:
        return await self.keys.find(shown)


@pytest.fixture
async def house() -> AsyncIterator[House]:
    made = House()
    yield made
    await made.tasks.close(1.0)


async def test_a_key_is_looked_up_once_and_known_from_then_on(house: House) -> None:
    row_id = await house.make(A, models=("m",))
    assert house.keys.known(A) is None
    found = await house.find(A)
    asked = house.records.asked
    assert found.id == row_id
    assert house.keys.known(A) is found
    assert house.records.asked == asked
    assert house.keys.known(B) is None


async def test_of_several_keys_the_first_one_counts_that_is_ours(house: House) -> None:
    await house.make(B)
    assert (await house.find(A, b"x" * 5000, B)).id == PEPPER.digest(B).hex()


async def test_a_key_that_litellm_has_made_is_known_by_its_plain_digest(house: House) -> None:
    row_id = hashlib.sha256(A).hexdigest()
    await house.put(row_id, Key(form="sha256", account=row_id))
    assert (await house.find(A)).id == row_id
    assert house.keys.known(A) is not None
    await house.put(row_id, None, Key)
    await house.keys.poll()
    assert house.keys.known(A) is None


@pytest.mark.requirement("access.digest")
async def test_neither_a_digest_nor_a_row_of_another_form_lets_anybody_in(house: House) -> None:
    row_id = await house.make(A)
    await house.put(hashlib.sha256(B).hexdigest(), Key())
    for shown in (row_id.encode(), hashlib.sha256(B).hexdigest().encode(), B):
        with pytest.raises(Unauthenticated):
            await house.find(shown)


async def test_a_stranger_is_not_looked_up_again_for_a_while(house: House) -> None:
    for _ in range(3):
        with pytest.raises(Unauthenticated, match="Invalid API key"):
            await house.find(A)
    assert house.records.asked == 2
    house.clock.time += STRANGER_SECONDS
    with pytest.raises(Unauthenticated):
        await house.find(A)
    assert house.records.asked == 4


async def test_a_stranger_that_becomes_known_is_let_in_at_once(house: House) -> None:
    with pytest.raises(Unauthenticated):
        await house.find(A)
    await house.make(A)
    await house.keys.poll()
    assert (await house.find(A)).role == "key"


async def test_requests_that_come_together_share_one_look_up(house: House) -> None:
    await house.make(A)
    house.records.gate.clear()
    waiting = [asyncio.ensure_future(house.find(A)) for _ in range(5)]
    for _ in range(3):
        await asyncio.sleep(0)
    house.records.gate.set()
    assert len({id(one) for one in await asyncio.gather(*waiting)}) == 1
    assert house.records.asked == 1


async def test_no_more_keys_are_looked_up_at_a_time_than_may_be() -> None:
    house = House()
    house.tasks = Tasks(logging.getLogger("tests"), 2 * MAX_FLIGHTS)
    house.keys._tasks = house.tasks
    house.records.gate.clear()
    tried = [asyncio.ensure_future(house.find(b"sk-%d" % number)) for number in range(MAX_FLIGHTS + 1)]
    done, waiting = await asyncio.wait(tried, return_when=asyncio.FIRST_COMPLETED)
    assert isinstance(next(iter(done)).exception(), Overloaded)
    assert len(waiting) == MAX_FLIGHTS
    house.records.gate.set()
    refused = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(one) for one in refused} == {Unauthenticated}


async def test_a_request_that_is_given_up_does_not_end_the_look_up_of_others(house: House) -> None:
    await house.make(A)
    house.records.gate.clear()
    first, second = (asyncio.ensure_future(house.find(A)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    house.records.gate.set()
    assert (await second).role == "key"


@pytest.mark.requirement("access.revocation")
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("key", None), Unauthenticated),
        (("u", User(blocked=True)), Forbidden),
        (("t", Team(blocked=True, organization_id="o")), Forbidden),
        (("o", Organization(blocked=True)), Forbidden),
        (("b", BudgetRow(blocked=True)), Forbidden),
        (("p" * 64, Key(blocked=True)), Forbidden),
    ],
)
async def test_a_change_of_anything_that_a_key_depends_on_is_in_force_after_the_next_poll(
    house: House, change: tuple[str, Terms | None], expected: type[Exception]
) -> None:
    rows: dict[str, Terms] = {"u": User(), "o": Organization(), "b": BudgetRow(), "p" * 64: Key()}
    for name, there in rows.items():
        await house.put(name, there)
    await house.put("t", Team(organization_id="o"))
    mine = await house.make(A, user_id="u", team_id="t", budget_id="b", parent="p" * 64)
    await house.keys.poll()
    await house.find(A)
    row_id, row = change
    await house.put(mine if row_id == "key" else row_id, row, Key if row is None else None)
    assert house.keys.known(A) is not None
    await house.keys.poll()
    assert house.keys.known(A) is None
    with pytest.raises(expected):
        await house.find(A)


async def test_the_organization_is_that_of_the_team_at_the_moment(house: House) -> None:
    for name in ("old", "new"):
        await house.put(name, Organization(rpm_limit=1))
    await house.put("t", Team(organization_id="new"))
    await house.make(A, team_id="t", organization_id="old")
    assert [one.key for one in (await house.find(A)).limits.requests] == ["rpm:organization:new"]


async def test_what_was_read_before_a_change_is_not_remembered_after_it(house: House) -> None:
    row_id = await house.make(A)
    await house.keys.poll()
    house.records.gate.clear()
    early = asyncio.ensure_future(house.find(A))
    for _ in range(2):
        await asyncio.sleep(0)
    await house.put(row_id, None, Key)
    await house.keys.poll()
    late = asyncio.ensure_future(house.find(A))
    await asyncio.sleep(0)
    house.records.gate.set()
    assert (await early).role == "key"
    assert house.keys.known(A) is None
    with pytest.raises(Unauthenticated):
        await late


async def test_a_key_ends_in_the_very_second_that_it_was_made_for(house: House) -> None:
    await house.make(A, expires=datetime.fromtimestamp(house.clock.time + 10, UTC))
    await house.find(A)
    house.clock.time += 9.9
    assert house.keys.known(A) is not None
    house.clock.time += 0.1
    assert house.keys.known(A) is None
    with pytest.raises(Unauthenticated, match="expired"):
        await house.find(A)


@pytest.mark.requirement("access.store-away")
async def test_while_the_store_is_away_known_keys_go_on_and_others_are_not_called_invalid(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    await house.make(A)
    await house.find(A)
    house.records.is_down = True
    for _ in range(3):
        await house.keys.poll()
        house.clock.time += GRACE / 3
        assert house.keys.known(A) is not None
        with pytest.raises(Overloaded) as raised:
            await house.find(B)
        assert raised.value.code == "store_unavailable"
    house.clock.time += 1
    await house.keys.poll()
    assert house.keys.known(A) is None
    with pytest.raises(Overloaded):
        await house.find(A)
    house.records.is_down = False
    await house.keys.poll()
    assert (await house.find(A)).role == "key"
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        "the store of keys is away, those that are known go on",
        "the store of keys is away for too long",
        "the store of keys is back",
    ]


async def test_a_row_that_cannot_be_read_lets_nobody_in(house: House) -> None:
    await house.records.change([Change("keys", PEPPER.digest(A).hex(), {"rpm_limit": "many"})])
    with pytest.raises(Forbidden):
        await house.find(A)


async def test_no_more_keys_are_kept_than_may_be_and_those_in_use_stay() -> None:
    house = House(most=3)
    keys = [b"sk-%d" % number for number in range(6)]
    for key in keys:
        await house.make(key, user_id="u")
    for key in keys[:3]:
        await house.find(key)
    assert house.keys.known(keys[0]) is not None
    for key in keys[3:]:
        await house.find(key)
        assert house.keys.known(keys[0]) is not None
    assert len(house.keys) == 3
    house.keys.forget([("users", "u")])
    assert len(house.keys) == 0
    await house.tasks.close(1.0)


async def test_when_a_large_team_changes_its_keys_are_forgotten_little_by_little_but_none_is_let_in() -> None:
    house = House(most=10_000)
    await house.put("t", Team())
    keys = [b"sk-%d" % number for number in range(2 * AT_ONCE + 1)]
    for key in keys:
        await house.make(key, team_id="t")
        await house.find(key)
    await house.keys.poll()
    for key in keys:
        await house.find(key)
    await house.put("t", Team(blocked=True))
    await house.keys.poll()
    assert len(house.keys) == 0
    assert house.keys.known(keys[-1]) is None
    with pytest.raises(Forbidden):
        await house.find(keys[-1])
    for _ in range(3):
        await house.keys.poll()
    assert not house.keys._entries
    assert not house.keys._by_source
    await house.tasks.close(1.0)


async def test_when_anything_may_have_changed_everything_is_forgotten(house: House) -> None:
    await house.make(A)
    await house.find(A)
    house.keys.forget(None)
    assert (len(house.keys), house.keys.known(A)) == (0, None)
    house.keys.forget([("keys", "no digest"), ("teams", "t")])
    assert (await house.find(A)).role == "key"


async def test_what_others_change_is_heard_of(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    row_id = await house.make(A)
    await house.keys.poll()
    await house.find(A)
    patience: list[float] = []

    async def wait(seconds: float) -> None:
        patience.append(seconds)
        if len(patience) == 2:
            await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(house.records, "wait_for_change", wait)
    await house.put(row_id, None, Key)
    following = house.tasks.start(house.keys.follow(), "follow")
    while len(patience) < 2:
        await asyncio.sleep(0)
    assert house.keys.known(A) is None
    assert patience == [POLL, POLL]
    following.cancel()


@pytest.mark.requirement("access.no-raw-key")
async def test_nothing_that_is_remembered_holds_a_key(house: House) -> None:
    key, strange = b"sk-canary-known", b"sk-canary-strange"
    await house.make(key)
    await house.find(key)
    with pytest.raises(Unauthenticated) as raised:
        await house.find(strange)
    assert "canary" not in repr(vars(house.keys)) + repr(vars(raised.value)) + repr(vars(house.records))


async def test_others_are_told_of_every_row_that_changes_here_or_elsewhere(house: House) -> None:
    told: list[Any] = []
    house.keys.listeners.append(told.append)
    house.keys.forget(iter([("mcp_servers", "a")]))
    await house.records.change([Change("mcp_servers", "b", {"name": "b"})])
    await house.keys.poll()
    house.keys.forget(None)
    assert told == [(("mcp_servers", "a"),), (("mcp_servers", "b"),), None]


async def test_a_caller_who_is_known_by_another_name_is_forgotten_with_his_key_too(house: House) -> None:
    row_id = await house.make(A)

    async def find() -> Family:
        key = await house.keys.row("keys", row_id, Key)
        assert key is not None
        return await house.keys.family_of(row_id, key)

    found = await house.keys.settled(b"another name", find, caller_of)
    assert house.keys.known(b"another name") is found
    await house.make(A, blocked=True)
    await house.keys.poll()
    assert house.keys.known(b"another name") is None
