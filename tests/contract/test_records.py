"""What every store of records does, on real databases."""

from __future__ import annotations

import asyncio
import random
import traceback
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from contract.databases import Opener

from pointsman.store import sql
from pointsman.store.base import (
    AMOUNTS,
    GROUPS,
    Audit,
    Change,
    Changes,
    Conflict,
    Refused,
    SpendEvent,
    StoreDown,
    Unusable,
)
from pointsman.store.schema import metadata
from pointsman.store.sql import MAX_TOLD, SqlRecords

DAY = 86_400.0
START = 20_000 * DAY
PATIENCE = 30.0


def key(number: int, **doc: Any) -> Change:
    return Change("keys", f"k{number}", doc, 0)


def audit(what: str = "key.new", target: str = "k1", **values: Any) -> Audit:
    return Audit(who="master", what=what, target=target, **values)


async def run_sql(records: SqlRecords, statement: str) -> None:
    async with records._backend.writing.begin() as connection:
        await connection.execute(sa.text(statement))


async def ids(records: SqlRecords, *arguments: Any, **options: Any) -> list[str]:
    return [row.id for row in await records.find(*arguments, **options)]


class TestRows:
    async def test_a_row_is_what_was_written(self, records: SqlRecords) -> None:
        doc = {"key_alias": "a", "models": ["m", "ü"], "deep": {"n": 1.5, "none": None}, "big": 2**62}
        await records.change([Change("keys", "k1", doc)])
        row = await records.get("keys", "k1")
        assert row is not None
        assert (row.id, row.doc, row.version) == ("k1", doc, 1)
        assert await records.get("keys", "k2") is None
        assert await records.get("teams", "k1") is None

    async def test_a_change_gives_another_document_and_one_version_more(self, records: SqlRecords) -> None:
        await records.change([key(1, key_alias="a", team_id="t")])
        await records.change([Change("keys", "k1", {"key_alias": "b"}, 1)])
        await records.change([Change("keys", "k1", {"key_alias": "c"})])
        row = await records.get("keys", "k1")
        assert row is not None
        assert (row.doc, row.version) == ({"key_alias": "c"}, 3)
        assert await records.find("keys", {"team_id": "t"}) == []

    async def test_a_row_that_went_is_gone_and_can_come_again(self, records: SqlRecords) -> None:
        await records.change([key(1)])
        await records.change([Change("keys", "k1", None, 1)])
        assert await records.get("keys", "k1") is None
        await records.change([Change("keys", "k1", None)])
        await records.change([key(1)])
        assert await records.count("keys") == 1

    @pytest.mark.parametrize("version", [0, 2])
    async def test_a_change_of_another_version_is_a_conflict(self, records: SqlRecords, version: int) -> None:
        await records.change([key(1)])
        with pytest.raises(Conflict) as conflict:
            await records.change([Change("keys", "k1", {}, version)])
        assert (conflict.value.table, conflict.value.id, conflict.value.what) == ("keys", "k1", "version")

    async def test_what_is_not_there_cannot_be_of_a_version(self, records: SqlRecords) -> None:
        with pytest.raises(Conflict):
            await records.change([Change("keys", "k1", {}, 1)])

    async def test_no_two_keys_have_one_alias_and_many_have_none(self, records: SqlRecords) -> None:
        await records.change([key(1, key_alias="a"), key(2), key(3)])
        with pytest.raises(Conflict) as conflict:
            await records.change([key(4, key_alias="a")])
        assert conflict.value.what == "key_alias"
        await records.change([Change("keys", "k1", None), key(4, key_alias="a")])

    async def test_changes_that_conflict_leave_nothing_behind(self, records: SqlRecords) -> None:
        await records.change([key(1)])
        with pytest.raises(Conflict):
            await records.change([key(2), Change("keys", "k1", {"x": 1}), key(1)], audit())
        assert await ids(records, "keys") == ["k1"]
        assert await records.audits() == []
        assert await records.changed_since(1) is None

    async def test_rows_are_found_by_their_columns(self, records: SqlRecords) -> None:
        await records.change([key(1, team_id="t", user_id="u"), key(2, team_id="t"), key(3, team_id="s")])
        assert await ids(records, "keys", {"team_id": "t"}) == ["k1", "k2"]
        assert await ids(records, "keys", {"team_id": "t", "user_id": None}) == ["k2"]
        assert await ids(records, "keys", {"team_id": ["s", "t"], "id": ["k1", "k3"]}) == ["k1", "k3"]
        assert await ids(records, "keys", {"team_id": []}) == []
        assert await records.count("keys", {"team_id": "t"}) == 2

    async def test_a_column_that_is_none_is_not_asked_for(self, records: SqlRecords) -> None:
        with pytest.raises(KeyError):
            await records.find("keys", {"doc": "x"})

    async def test_values_are_values_whatever_they_hold(self, records: SqlRecords) -> None:
        nasty = "'; DROP TABLE keys; -- %s :x \N{ROLLER COASTER}"
        await records.change([key(1, team_id=nasty), Change("keys", nasty, {"x": "\0 \ud800"})])
        assert await ids(records, "keys", {"team_id": nasty}) == ["k1"]
        row = await records.get("keys", nasty)
        assert row is not None
        assert row.doc["x"] in ("\0 ?", " ?")

    @pytest.mark.parametrize("impossible", ["a\0", "\ud800"])
    async def test_what_no_database_can_hold_is_not_there_and_refused(
        self, records: SqlRecords, impossible: str
    ) -> None:
        assert await records.get("keys", impossible) is None
        assert await records.find("keys", {"team_id": impossible}) == []
        for change in (Change("keys", impossible, {}), key(1, team_id=impossible)):
            with pytest.raises(Refused):
                await records.change([change])
        assert not records.is_down

    @pytest.mark.parametrize(
        ("order", "expected"), [("created_at", "1 0 3 2"), ("-created_at", "2 3 0 1"), ("-id", "3 2 1 0")]
    )
    async def test_pages_follow_each_other_without_gaps(self, records: SqlRecords, order: str, expected: str) -> None:
        await records.change([key(number, created_at=day) for number, day in enumerate("baca")])
        await records.change([Change("keys", "k3", {"created_at": "b"}, 1)])
        found: list[str] = []
        after: Sequence[str] | None = None
        while rows := await records.find("keys", order=order, after=after, limit=1):
            found.append(rows[0].id.removeprefix("k"))
            after = (rows[0].doc["created_at"], rows[0].id) if "created_at" in order else (rows[0].id,)
        assert " ".join(found) == expected


class TestChanges:
    async def test_nothing_has_changed_in_a_new_database(self, records: SqlRecords) -> None:
        assert await records.changed_since(0) is None

    async def test_what_changed_is_named_once(self, records: SqlRecords) -> None:
        await records.change([key(1)])
        first = await records.changed_since(0)
        assert first == Changes(1, None)
        await records.change([Change("keys", "k1", None), Change("teams", "t", {}), Change("teams", "t", {"x": 1})])
        assert await records.changed_since(1) == Changes(4, frozenset({("keys", "k1"), ("teams", "t")}))
        assert await records.changed_since(4) is None

    async def test_too_many_changes_are_told_as_a_whole(self, records: SqlRecords) -> None:
        await records.change([key(0)])
        await records.change([key(number) for number in range(1, MAX_TOLD + 2)])
        assert await records.changed_since(1) == Changes(MAX_TOLD + 2, None)
        assert await records.changed_since(MAX_TOLD + 1) == Changes(
            MAX_TOLD + 2, frozenset({("keys", f"k{MAX_TOLD + 1}")})
        )

    async def test_a_database_of_an_earlier_day_is_told_as_a_change(self, records: SqlRecords) -> None:
        await records.change([key(1)])
        assert await records.changed_since(7) == Changes(1, None)

    async def test_changes_that_were_swept_away_are_told_as_a_whole(
        self, records: SqlRecords, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sql, "CHANGES_KEPT", 5)
        for number in range(10):
            await records.change([key(number)])
        await records.sweep(events_before=0)
        assert await records.changed_since(3) == Changes(10, None)
        assert await records.changed_since(8) == Changes(10, frozenset({("keys", "k8"), ("keys", "k9")}))

    async def test_whoever_waits_hears_of_a_change_of_another_process(self, opened: Opener) -> None:
        one, other = await opened(), await opened()

        async def hear() -> Changes:
            while (changes := await one.changed_since(0)) is None:
                await one.wait_for_change(PATIENCE)
            return changes

        async with asyncio.timeout(PATIENCE):
            waiting = asyncio.ensure_future(hear())
            await other.change([key(1)])
            assert (await waiting).number == 1

    async def test_of_those_who_change_one_version_one_wins(self, opened: Opener) -> None:
        stores = [await opened(), await opened()]
        await stores[0].change([key(1, n=0)])
        outcomes = await asyncio.gather(
            *(stores[n % 2].change([Change("keys", "k1", {"n": n}, 1)], audit()) for n in range(20)),
            return_exceptions=True,
        )
        assert [type(outcome) for outcome in outcomes].count(Conflict) == 19
        assert outcomes.count(None) == 1
        assert len(await stores[1].audits()) == 1

    async def test_numbers_and_chain_have_no_gaps_when_many_change_at_once(self, opened: Opener) -> None:
        stores = [await opened(), await opened()]
        await asyncio.gather(*(stores[n % 2].change([key(n)], audit(target=f"k{n}")) for n in range(40)))
        assert await stores[0].verify_audit() is None
        assert [row.seq for row in await stores[0].audits()] == list(range(40, 0, -1))
        changes = await stores[0].changed_since(1)
        assert changes is not None
        assert changes.number == 40
        assert changes.rows is not None
        assert len(changes.rows) == 39


class TestAudit:
    async def test_a_row_says_who_did_what_with_what(self, records: SqlRecords) -> None:
        await records.change([key(1)], audit(before=None, after={"b": Decimal("1.10"), "a": [1]}))
        await records.change([], audit("key.read", "k2"))
        [second, first] = await records.audits()
        assert (first.seq, first.who, first.what, first.target) == (1, "master", "key.new", "k1")
        assert (first.before, first.after) == (None, {"b": "1.10", "a": [1]})
        assert (second.seq, second.previous) == (2, first.hash)
        assert await records.audits({"target": "k1"}) == [first]
        assert await records.audits(before=2) == [first]

    @pytest.mark.requirement("audit.chain")
    @pytest.mark.parametrize(
        ("tampering", "seq"),
        [
            ("UPDATE audit SET who = 'nobody' WHERE seq = 2", 2),
            ("UPDATE audit SET at = at + 1 WHERE seq = 2", 2),
            ("UPDATE audit SET before = '1' WHERE seq = 3", 3),
            ("UPDATE audit SET after = 'null' WHERE seq = 1", 1),
            ("UPDATE audit SET hash = previous WHERE seq = 2", 2),
            ("DELETE FROM audit WHERE seq = 1", 1),
            ("DELETE FROM audit WHERE seq = 2", 2),
            ("DELETE FROM audit WHERE seq = 4", 4),
            ("DELETE FROM audit", 1),
        ],
    )
    async def test_what_was_changed_afterwards_is_found(self, records: SqlRecords, tampering: str, seq: int) -> None:
        for number in range(1, 5):
            await records.change([key(number)], audit(after={"n": number}))
        assert await records.verify_audit() is None
        await run_sql(records, tampering)
        fault = await records.verify_audit()
        assert fault is not None
        assert fault.seq == seq


def event(number: int, at: float = START, **values: Any) -> SpendEvent:
    return SpendEvent(id=f"e{number}", at=at, **values)


def some_events(count: int, seed: int = 7) -> list[SpendEvent]:
    """Over three days, with few values each, and many at the borders of hours."""
    chance = random.Random(seed)
    return [
        event(
            number,
            START + chance.choice([chance.uniform(0, 3 * DAY), chance.randrange(72) * 3600.0]),
            key_id=chance.choice("abc"),
            team_id=chance.choice(["", "t"]),
            model=chance.choice("mn"),
            provider=chance.choice(["openai", "anthropic"]),
            failures=chance.randrange(2),
            input_tokens=chance.randrange(1000),
            output_tokens=chance.randrange(1000),
            cached_tokens=chance.randrange(10),
            cost_nano_usd=chance.randrange(10**12),
        )
        for number in range(count)
    ]


def added_up(events: Sequence[SpendEvent], group_by: Sequence[str]) -> dict[tuple[Any, ...], dict[str, int]]:
    found: dict[tuple[Any, ...], dict[str, int]] = {}
    for one in events:
        times = {"hour": int(one.at // 3600 * 3600), "day": int(one.at // DAY * DAY)}
        group = tuple(times[name] if name in times else getattr(one, name) for name in group_by)
        amounts = found.setdefault(group, dict.fromkeys(AMOUNTS, 0))
        for name in AMOUNTS:
            amounts[name] += getattr(one, name)
    return found


class TestLedger:
    async def test_an_event_is_what_was_appended(self, records: SqlRecords) -> None:
        whole = SpendEvent(
            id="e",
            at=START + 0.123456789,
            key_id="key ü",
            team_id="team",
            user_id="user",
            organization_id="organization",
            model="model",
            provider="provider",
            request_id="r",
            operation="chat",
            end_user="x",
            deployment="d",
            upstream_model="um",
            attempt=2,
            status="upstream_timeout",
            failures=1,
            input_tokens=5,
            cost_nano_usd=10**15,
            first_at=START + 1.1,
            ended_at=START + 2.2,
            is_cached=True,
            session_id="s",
            address="127.0.0.1",
            tags=("a", "b"),
            metadata={"x": [1, None]},
        )
        await records.append_spend([whole])
        assert await records.spend_events(START, START + 1) == [whole]

    async def test_an_event_is_counted_once_however_often_it_is_appended(self, opened: Opener) -> None:
        stores = [await opened(), await opened()]
        events = [event(number, cost_nano_usd=5) for number in range(300)]
        await stores[0].append_spend([*events[:10], *events[:10]])
        await asyncio.gather(*(stores[n % 2].append_spend(events[:: (-1) ** n]) for n in range(6)))
        await stores[0].append_spend([event(0, cost_nano_usd=9), event(300, cost_nano_usd=5)])
        [total] = await stores[0].spend_by((), START, START + DAY)
        assert (total.requests, total.cost_nano_usd) == (301, 301 * 5)
        assert len(await stores[1].spend_events(START, START + 1, limit=999)) == 301

    async def test_nothing_is_appended_of_nothing(self, records: SqlRecords) -> None:
        await records.append_spend([])
        assert await records.spend_by((), START, START + DAY) == []
        assert await records.spent_since({"key_id": "a"}, START) == Decimal(0)

    @pytest.mark.parametrize(
        "group_by", [(), ("key_id",), ("team_id", "model"), ("day",), ("hour",), ("hour", "key_id"), GROUPS]
    )
    async def test_sums_are_those_of_the_events(self, records: SqlRecords, group_by: Sequence[str]) -> None:
        events = some_events(400)
        for place in range(0, 400, 100):
            await records.append_spend(events[place : place + 100])
        chance = random.Random(8)
        borders = [START, START + DAY, START + 1.5 * 3600, START + 3 * DAY]
        for _ in range(15):
            start, end = sorted(chance.choice([chance.uniform(START, START + 3 * DAY), *borders]) for _ in range(2))
            within = [one for one in events if start <= one.at < end]
            found = await records.spend_by(group_by, start, end, limit=9999)
            amounts = {tuple(one.group.values()): {name: getattr(one, name) for name in AMOUNTS} for one in found}
            assert amounts == added_up(within, group_by)
            costs = [one.cost_nano_usd for one in found]
            assert costs == sorted(costs, reverse=True)

    async def test_spend_is_asked_for_a_part(self, records: SqlRecords) -> None:
        events = some_events(300)
        await records.append_spend(events)
        since = START + 5_000.5
        for scope in ({"key_id": "a"}, {"key_id": "b", "model": "m"}, {"team_id": "t"}):
            mine = [e for e in events if e.at >= since and all(getattr(e, name) == scope[name] for name in scope)]
            assert await records.spent_since(scope, since) == Decimal(sum(e.cost_nano_usd for e in mine)).scaleb(-9)
        [found] = await records.spend_by(("key_id",), START, START + 9 * DAY, {"key_id": "a", "model": ["m", "n"]})
        assert found.requests == sum(one.key_id == "a" for one in events)

    async def test_a_log_is_read_page_by_page_from_its_end(self, records: SqlRecords) -> None:
        events = some_events(120)
        await records.append_spend(events)
        expected = sorted(((e.at, e.id) for e in events if e.key_id == "a"), reverse=True)
        found: list[tuple[float, str]] = []
        while page := await records.spend_events(
            START, START + 9 * DAY, {"key_id": "a"}, after=found[-1] if found else None, limit=7
        ):
            found += [(e.at, e.id) for e in page]
        assert found == expected

    async def test_whatever_callers_say_can_be_written(self, records: SqlRecords) -> None:
        await records.append_spend(
            [event(1, end_user="a\0b\ud800", cost_nano_usd=2**70, metadata={"x": "\0"}, tags=("\0",)), event(2)]
        )
        [second, first] = await records.spend_events(START, START + 1)
        assert (first.end_user, first.cost_nano_usd, first.metadata) == ("ab?", 2**63 - 1, {"x": "\0"})
        assert second.id == "e2"

    @pytest.mark.parametrize("at", [float("nan"), float("inf"), -1.0, 1e12])
    async def test_what_cannot_be_written_is_refused_and_the_store_is_well(
        self, records: SqlRecords, at: float
    ) -> None:
        with pytest.raises(Refused):
            await records.append_spend([event(1), event(2, at=at)])
        assert not records.is_down
        assert await records.spend_events(START, START + 1) == []

    async def test_a_table_that_is_not_as_it_should_be_is_no_reason_to_lose_events(self, records: SqlRecords) -> None:
        await records.append_spend([event(1)])
        await run_sql(records, "ALTER TABLE spend_sums RENAME TO elsewhere")
        with pytest.raises(StoreDown) as down:
            await records.append_spend([event(2, end_user="canary" * 2)])
        assert not isinstance(down.value, Refused)
        told = "".join(traceback.format_exception(down.value))
        assert "canary" * 2 not in told

    async def test_content_stands_beside_the_event(self, records: SqlRecords) -> None:
        await records.append_spend([event(1), event(2)])
        await records.append_spend([event(1, content={"messages": ["hi \0"]})])
        assert await records.spend_content(START, "e1") == {"messages": ["hi \0"]}
        assert await records.spend_content(START, "e2") is None

    async def test_days_are_swept_away_and_their_sums_stay(self, records: SqlRecords) -> None:
        events = [event(n, START + n * DAY / 2, cost_nano_usd=1, content={"n": n}) for n in range(8)]
        await records.append_spend(events)
        assert await records.sweep(events_before=START + 2.5 * DAY, content_before=START + 3.1 * DAY) == 2
        assert [e.id for e in await records.spend_events(0, START + 9 * DAY)] == ["e7", "e6", "e5", "e4"]
        assert await records.spend_content(START + 2.5 * DAY, "e5") is None
        assert await records.spend_content(START + 3 * DAY, "e6") == {"n": 6}
        [total] = await records.spend_by((), START, START + 9 * DAY)
        assert total.requests == 8
        assert await records.sweep(events_before=START + 2.5 * DAY) == 0

    async def test_where_events_have_gone_no_less_is_told_than_was_spent(self, records: SqlRecords) -> None:
        events = [event(n, START + n * DAY / 4, key_id="k", model="m", cost_nano_usd=1) for n in range(12)]
        await records.append_spend(events)
        since = START + 0.6 * DAY
        records._now = lambda: START
        assert await records.spent_since({"key_id": "k"}, since) == Decimal(9).scaleb(-9)
        await records.sweep(events_before=START + DAY)
        assert await records.spent_since({"key_id": "k"}, since) == Decimal(12).scaleb(-9)
        assert await records.spent_since({"model": "m"}, since) == Decimal(9).scaleb(-9)
        records._now = lambda: START + 500 * DAY
        await records.sweep(events_before=START + 9 * DAY)
        for scope in ({"key_id": "k"}, {"model": "m"}):
            assert await records.spent_since(scope, since) == Decimal(12).scaleb(-9)

    @pytest.mark.parametrize("name", ["organization_id", "end_user", "session_id", "status", "model", "request_id"])
    async def test_events_are_found_by_what_is_rare(self, records: SqlRecords, name: str) -> None:
        values: list[dict[str, Any]] = [{name: "x"}, {name: "y"}, {}, {"status": ""}]
        await records.append_spend([event(number, **value) for number, value in enumerate(values, 1)])
        for value, expected in (("x", ["e1"]), (["x", "y"], ["e2", "e1"]), ("z", [])):
            found = await records.spend_events(START, START + 1, {name: value})
            assert [one.id for one in found] == expected
        others = await records.spend_events(START, START + 1, {name: "success" if name == "status" else ""})
        assert [one.id for one in others] == (["e3"] if name == "status" else ["e4", "e3"])

    async def test_events_of_a_day_that_another_one_swept_away_are_appended(self, opened: Opener) -> None:
        one, other = await opened(), await opened()
        await one.append_spend([event(1)])
        assert await other.sweep(events_before=START + DAY) == 1
        await one.append_spend([event(2)])
        assert [e.id for e in await one.spend_events(START, START + 1)] == ["e2"]

    async def test_more_rows_than_one_step_deletes_are_swept_away(self, records: SqlRecords) -> None:
        await records.append_spend([event(n, START + n) for n in range(4_500)])
        await records.append_spend([event(0, START + DAY)])
        assert await records.sweep(events_before=START + DAY) == 1
        assert len(await records.spend_events(0, START + 9 * DAY)) == 1


class TestOpening:
    async def test_several_may_open_a_new_database_at_once_and_again(self, opened: Opener) -> None:
        stores = await asyncio.gather(*(opened() for _ in range(4)))
        await stores[0].open()
        await stores[3].change([key(1)])
        assert await stores[1].count("keys") == 1

    async def test_the_migrations_lead_to_the_schema(self, records: SqlRecords) -> None:
        def differences(connection: sa.Connection) -> list[Any]:
            context = MigrationContext.configure(connection, opts={"compare_server_default": True})
            return list(compare_metadata(context, metadata))

        async with records._backend.writing.connect() as connection:
            assert await connection.run_sync(differences) == []

    async def test_a_database_of_a_later_version_is_left_as_it_is(self, records: SqlRecords, opened: Opener) -> None:
        await records.change([key(1)])
        await run_sql(records, "UPDATE alembic_version SET version_num = '9999'")
        assert await (await opened()).count("keys") == 1

    async def test_a_database_that_lacks_its_version_is_told_from_one_that_is_away(
        self, records: SqlRecords, opened: Opener
    ) -> None:
        await run_sql(records, "DROP TABLE alembic_version")
        with pytest.raises(Unusable):
            await opened()
        # Nothing was changed.
        await records.change([key(1)])
        assert await records.count("keys") == 1
