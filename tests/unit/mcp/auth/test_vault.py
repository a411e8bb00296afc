from __future__ import annotations

import logging

import msgspec
import pytest
from unit.mcp.auth.authorities import World, grant

from pointsman.errors import Overloaded
from pointsman.mcp.auth.tokens import Grant
from pointsman.mcp.auth.vault import TOKENS, Vault, id_of
from pointsman.store.base import Audit, Change, StoreDown


def vault(world: World) -> Vault[Grant]:
    return Vault(TOKENS, Grant, look=world.store.look, open_feed=world.store.open)


@pytest.mark.requirement("mcp.tokens-sealed")
async def test_what_is_kept_is_sealed_and_another_process_has_it_too(world: World) -> None:
    await vault(world).put("a", grant(), {"server_id": "far", "user_id": None})
    (row,) = await world.store.records.find(TOKENS, {"server_id": "far"})
    assert "canary" not in msgspec.json.encode(row.doc).decode()
    assert await vault(world).get("a") == grant()
    assert await vault(world).get("b") is None


async def test_a_row_that_was_moved_or_sealed_with_another_salt_is_none(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await vault(world).put("a", grant())
    row = await world.store.records.get(TOKENS, "a")
    assert row is not None
    await world.store.records.change([Change(TOKENS, "b", row.doc)])
    with caplog.at_level(logging.WARNING):
        assert await vault(world).get("b") is None
    assert "cannot be read" in caplog.text
    assert "canary" not in caplog.text
    world.store.sealer = None
    assert await vault(world).get("a") is None


async def test_a_change_of_another_process_is_heard(world: World) -> None:
    here, there = vault(world), vault(world)
    await here.put("a", grant())
    assert await there.get("a") == grant()
    await here.put("a", grant(access_token="canary-2"))
    assert await there.get("a") == grant()
    assert await there.get("a", is_fresh=True) == grant(access_token="canary-2")
    await here.drop("a")
    for listener in world.store.keys.listeners:
        listener([("keys", "x"), (TOKENS, "a")])
    assert await there.get("a") is None
    await here.put("a", grant())
    for listener in world.store.keys.listeners:
        listener(None)
    assert await there.get("a") == grant()
    assert len(world.store.keys.listeners) == 2


@pytest.mark.parametrize("what", ["no store", "no sealer"])
async def test_where_nothing_can_be_stored_it_is_known_as_long_as_the_process_goes_on(world: World, what: str) -> None:
    world.store.is_there, world.store.is_away = what == "no sealer", what == "no store"
    world.store.sealer = None
    here = vault(world)
    await here.put("a", grant())
    assert await here.get("a") == grant()
    here.heard(None)
    assert await here.get("a") == grant()
    assert await vault(world).get("a") is None
    await here.drop("a")
    assert await here.get("a") is None


async def test_while_the_store_is_away_what_is_known_is_good_and_what_is_not_is_asked_for_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = vault(world)
    await here.put("a", grant())

    async def fail(*_: object) -> None:
        raise StoreDown

    monkeypatch.setattr(world.store.records, "get", fail)
    assert await here.get("a") == grant()
    assert await here.get("a", is_fresh=True) == grant()
    with pytest.raises(Overloaded):
        await here.get("b")
    with pytest.raises(Overloaded):
        await here.drop("a")


async def test_who_has_changed_what_is_written_down_without_what_is_secret(world: World) -> None:
    here = vault(world)
    await here.put("a", grant(), None, Audit(who="key:1", what="mcp_token.new", target="far"))
    await here.drop("a", Audit(who="key:1", what="mcp_token.delete", target="far"))
    await here.drop("a", Audit(who="key:1", what="mcp_token.delete", target="far"))
    audits = await world.store.records.audits()
    assert [(one.who, one.what, one.target) for one in audits] == [
        ("key:1", "mcp_token.delete", "far"),
        ("key:1", "mcp_token.new", "far"),
    ]


async def test_one_process_at_a_time_has_the_turn_to_replace_what_is_there(world: World) -> None:
    here, there = vault(world), vault(world)
    await here.put("a", grant())
    turn = await here.begin("a", grant(), 100.0, 30.0)
    assert turn is not None
    assert await there.begin("a", grant(), 129.0, 30.0) is None
    await here.end("a", turn)
    assert await there.begin("a", grant(access_token="canary-2"), 129.0, 30.0) is None
    later = await there.begin("a", grant(), 129.0, 30.0)
    assert later is not None
    # A turn that is over by its time does not end that of another process.
    await here.end("a", turn)
    assert await here.begin("a", grant(), 150.0, 30.0) is None
    await there.put("a", grant(access_token="canary-2"))
    await there.end("a", later)
    assert await here.begin("a", grant(access_token="canary-2"), 129.0, 30.0) is not None


async def test_of_two_processes_that_take_the_turn_together_one_has_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await vault(world).put("a", grant())
    row = await world.store.records.get(TOKENS, "a")

    async def get(*_: object) -> object:
        return row

    monkeypatch.setattr(world.store.records, "get", get)
    turns = [await vault(world).begin("a", grant(), 100.0, 30.0) for _ in range(2)]
    assert [turn is None for turn in turns] == [False, True]


async def test_what_no_other_process_knows_is_replaced_at_any_time(world: World) -> None:
    world.store.is_there, world.store.is_away = False, True
    here = vault(world)
    await here.put("a", grant())
    for _ in range(2):
        assert await here.begin("a", grant(), 100.0, 30.0) == 0
    await here.end("a", 0)
    assert await here.get("a") == grant()


async def test_nobody_has_the_turn_while_the_store_is_away(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    here = vault(world)
    await here.put("a", grant())
    turn = await here.begin("a", grant(), 100.0, 30.0)
    assert turn is not None

    async def fail(*_: object) -> None:
        raise StoreDown

    monkeypatch.setattr(world.store.records, "get", fail)
    with pytest.raises(Overloaded):
        await here.begin("a", grant(), 200.0, 30.0)
    await here.end("a", turn)


def test_ids_of_different_parts_are_different() -> None:
    assert len({id_of("a", "bc"), id_of("ab", "c"), id_of("abc"), id_of("a", "b", "c")}) == 4
