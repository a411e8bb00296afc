from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from unit.mcp.pretending import Pretending, caller, client, legacy, server

from pointsman.errors import Overloaded, UpstreamBroken, UpstreamError, UpstreamTimeout, UpstreamUnreachable
from pointsman.mcp.base import Client, Era
from pointsman.mcp.connections import IDLE_SECONDS, OWN_IDLE_SECONDS, Connection, Connections
from pointsman.mcp.settings import AuthSettings, ServerSettings
from pointsman.telemetry.tasks import Tasks

SESSIONS: dict[str, Any] = {"era": "legacy", "revision": "2025-11-25", "has_session": True}
PERSONAL = AuthSettings(kind="oauth2", grant="authorization_code")


class Held:
    """Connections to servers that say of themselves what they are told to."""

    def __init__(self, *, most: int = 100, **said: Any) -> None:
        self.now = 0.0
        self.said = said
        self.made: list[tuple[Client | None, Era, Pretending]] = []
        self.gone: list[Connection] = []
        self.tasks = Tasks(logging.getLogger("tests"), 100)
        self.all = Connections(self._make, self.tasks, lambda: self.now, left=self.gone.append, most=most)

    def _make(self, settings: ServerSettings, who: Client | None, era: Era) -> Pretending:
        made = Pretending({}, **self.said)
        self.made.append((who, era, made))
        return made

    async def ended(self) -> None:
        await self.tasks.settle(1)


async def test_all_share_a_server_that_keeps_no_sessions() -> None:
    held, settings = Held(), server("a")
    first = await held.all.of(settings, client())
    assert await held.all.of(settings, client(caller("key:b"))) is first
    assert first.is_shared
    assert [who for who, _, _ in held.made] == [None]


@pytest.mark.requirement("mcp.isolation")
async def test_each_session_of_a_client_has_its_own_where_the_server_keeps_sessions() -> None:
    held, settings = Held(**SESSIONS), server("a")
    one, two = await held.all.of(settings, legacy(session="1")), await held.all.of(settings, legacy(session="2"))
    assert one is not two
    assert not one.is_shared
    assert await held.all.of(settings, legacy(session="1")) is one
    assert held.all.existing(legacy(session="1")) == [one]


async def test_connections_that_show_what_a_caller_has_are_found_by_him() -> None:
    held, personal = Held(), server("a", auth=PERSONAL)
    mine = await held.all.of(personal, client())
    mine_too = held.all.first(personal, legacy())
    await held.all.of(personal, client(caller("key:b")))
    await held.all.of(server("b", auth=PERSONAL), client())
    await held.all.of(server("c"), client())
    assert held.all.borne_by("a", "key:a") == [mine, mine_too]
    assert held.all.borne_by("c", "key:a") == []


async def test_a_client_without_a_session_has_that_of_its_key() -> None:
    held, settings = Held(**SESSIONS), server("a")
    one = await held.all.of(settings, client(caller("key:a")))
    assert await held.all.of(settings, client(caller("key:a"))) is one
    assert await held.all.of(settings, client(caller("key:b"))) is not one


@pytest.mark.parametrize(
    ("isolation", "same_key", "same_session"), [("shared", True, True), ("key", True, True), ("session", False, True)]
)
async def test_an_operator_can_say_how_far_apart_they_are_kept(
    isolation: Any, same_key: bool, same_session: bool
) -> None:
    held, settings = Held(**SESSIONS), server("a", isolation=isolation)
    one = await held.all.of(settings, legacy(session="1"))
    assert (await held.all.of(settings, legacy(session="2")) is one) is same_key
    assert (await held.all.of(settings, legacy(session="1")) is one) is same_session
    assert (await held.all.of(settings, legacy(caller("key:b"), "3")) is one) is (isolation == "shared")


async def test_a_program_is_shared_unless_an_operator_says_otherwise() -> None:
    held = Held(**SESSIONS)
    settings = ServerSettings(id="a", name="a", transport="stdio", command=("x",))
    assert await held.all.of(settings, legacy(session="1")) is await held.all.of(settings, client())
    assert [era for _, era, _ in held.made] == ["legacy"]


async def test_clients_of_the_two_eras_do_not_share_a_server_that_may_speak_both() -> None:
    held, settings = Held(), server("a")
    old, new = held.all.first(settings, legacy()), held.all.first(settings, client())
    assert old is not new
    assert [era for _, era, _ in held.made] == ["legacy", "modern"]
    assert held.all.shared(settings) == [new, old]
    pinned = server("b", revision="2025-11-25")
    assert held.all.first(pinned, legacy()) is held.all.first(pinned, client())


@pytest.mark.parametrize(
    "settings", [server("a", auth=PERSONAL), server("a", auth=PERSONAL, isolation="shared")], ids=["auto", "shared"]
)
@pytest.mark.requirement("mcp.isolation")
async def test_whoever_has_a_credential_of_his_own_shares_with_nobody(settings: ServerSettings) -> None:
    held = Held()
    one = await held.all.of(settings, client(caller("key:a")))
    assert await held.all.of(settings, client(caller("key:b"))) is not one
    assert not one.is_shared
    assert held.all.shared(settings) == []


async def test_headers_that_are_passed_on_are_a_credential_too() -> None:
    held, settings = Held(), server("a", forward_headers=("X-Token",))
    one = await held.all.of(settings, client(headers={b"x-token": b"1"}))
    assert await held.all.of(settings, client(headers={b"x-token": b"2"})) is not one
    assert await held.all.of(settings, client(headers={b"x-token": b"1", b"x-other": b"3"})) is one
    assert (await held.all.of(settings, client())).is_shared


async def test_what_nobody_uses_is_closed_after_a_time() -> None:
    held, settings = Held(), server("a")
    connection = held.all.first(settings, client())
    held.now = IDLE_SECONDS - 1
    held.all.sweep()
    assert len(held.all) == 1
    held.now = IDLE_SECONDS
    held.all.sweep()
    await held.ended()
    assert (len(held.all), held.made[0][2].is_closed, held.gone) == (0, True, [connection])


async def test_what_somebody_calls_or_listens_to_is_not() -> None:
    held = Held()
    called, heard = held.all.first(server("a"), client()), held.all.first(server("b"), client())
    heard.watches += 1
    held.now = 2 * IDLE_SECONDS
    with called.calling():
        held.all.sweep()
        assert len(held.all) == 2


async def test_what_a_server_may_keep_for_one_party_is_kept_longer() -> None:
    held, settings = Held(**SESSIONS), server("a")
    own = await held.all.of(settings, legacy())
    held.now = OWN_IDLE_SECONDS - 1
    held.all.sweep()
    assert (own.is_given_up, own.first.is_given_up) == (False, True)
    held.now = OWN_IDLE_SECONDS
    held.all.sweep()
    assert own.is_given_up


@pytest.mark.requirement("mcp.reload")
async def test_other_settings_are_another_connection_and_calls_go_on_over_the_old_one() -> None:
    held = Held()
    old = held.all.first(server("a"), client())
    with old.calling():
        held.all.keep_only({"a": server("a", timeout=5.0)})
        new = held.all.first(server("a", timeout=5.0), client())
        held.all.sweep()
        assert new is not old
        assert old.is_given_up
        assert [made.is_closed for _, _, made in held.made] == [False, False]
    held.all.sweep()
    await held.ended()
    assert [made.is_closed for _, _, made in held.made] == [True, False]


async def test_what_is_still_the_same_stays() -> None:
    held = Held()
    connection = held.all.first(server("a"), client())
    held.all.keep_only({"a": server("a")})
    assert held.all.first(server("a"), client()) is connection


async def test_the_end_of_a_session_closes_what_was_its_alone() -> None:
    held, settings = Held(**SESSIONS), server("a")
    await held.all.of(settings, legacy(session="1"))
    held.all.end(legacy(session="1"))
    await held.ended()
    assert [made.is_closed for _, _, made in held.made] == [False, True]


async def test_the_connection_that_was_used_least_lately_makes_room() -> None:
    held = Held(most=2)
    for name in ("a", "b", "a", "c"):
        held.all.first(server(name), client())
    await held.ended()
    assert [made.is_closed for _, _, made in held.made] == [False, True, False]


async def test_where_all_are_in_use_there_is_no_room() -> None:
    held = Held(most=1)
    with held.all.first(server("a"), client()).calling(), pytest.raises(Overloaded):
        held.all.first(server("b"), client())


@pytest.mark.requirement("mcp.told")
async def test_a_failure_on_the_way_is_told_as_one_of_the_server(caplog: pytest.LogCaptureFixture) -> None:
    connection = await Held().all.of(server("a"), client())
    for failure, said in (
        (UpstreamUnreachable(operator_detail="10.0.0.1"), "The MCP server a could not be reached"),
        (UpstreamBroken(), "The MCP server a's answer was cut off or is not valid"),
        (UpstreamTimeout(code="upstream_connect_timeout"), "The MCP server a did not answer in time"),
        (UpstreamBroken("The MCP server said so"), "The MCP server said so"),
    ):
        with pytest.raises(UpstreamError) as raised, connection.calling():
            raise failure
        assert (raised.value, raised.value.message) == (failure, said)
    # What is inside is for the operator alone.
    assert [one.getMessage() for one in caplog.records] == [
        "the MCP server a: The MCP server a could not be reached: 10.0.0.1"
    ]


async def test_a_server_is_asked_once_what_it_is() -> None:
    held = Held()
    connection = held.all.first(server("a"), client())
    assert await connection.introduction() is await connection.introduction()


async def test_a_server_that_does_not_say_what_it_is_has_so_much_time() -> None:
    held = Held()
    connection = held.all.first(server("a", timeout=0.001), client())
    held.made[0][2].introduce = asyncio.Event().wait  # type: ignore[method-assign,assignment]
    with pytest.raises(UpstreamTimeout):
        await connection.introduction()


async def test_a_server_that_cannot_say_goodbye_is_closed_all_the_same() -> None:
    held = Held()
    held.all.first(server("a"), client())

    async def fail() -> None:
        raise UpstreamUnreachable

    held.made[0][2].close = fail  # type: ignore[method-assign]
    await held.all.close()
    assert len(held.all) == 0


async def test_of_a_server_of_the_gateway_itself_each_caller_has_his_own_view_in_both_eras() -> None:
    held, settings = Held(), server("a", source="gateway", isolation="shared")
    mine = await held.all.of(settings, client())
    assert await held.all.of(settings, legacy()) is mine
    assert await held.all.of(settings, client(caller("key:b"))) is not mine
    assert not mine.is_shared
