from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from records import MemoryRecords
from tokens import ISSUER, Issuer

from pointsman.access.caller import Caller
from pointsman.access.keys import Key, Pepper, Team, Terms, User, to_doc
from pointsman.access.settings import TokenSettings
from pointsman.errors import Forbidden, Overloaded, Unauthenticated
from pointsman.pipeline.key_sets import KeySets
from pointsman.pipeline.known_keys import KnownKeys
from pointsman.pipeline.known_tokens import Tokens
from pointsman.store.base import Change
from pointsman.telemetry.tasks import Tasks

NOW = 1_700_000_000.0
URL = "https://idp.test/keys"


class House:
    """Tokens of one provider, and the users and teams that they name."""

    def __init__(self) -> None:
        self.records = MemoryRecords()
        self.time = NOW
        self.tasks = Tasks(logging.getLogger("tests"), 100)
        self.issuer = Issuer("ES256")
        self.documents: dict[str, Any] = {}
        self.keys = KnownKeys(
            self.records, Pepper(b"p"), self.tasks, clock=lambda: self.time, now=lambda: self.time, grace=600.0
        )
        self.read()

    def read(self, **settings: Any) -> None:
        said = TokenSettings(key_urls=(URL,), **{"user_claim": "sub", "team_claim": "team", **settings})
        key_sets = KeySets(said.key_urls, self.ask, self.tasks, seconds=said.key_seconds, clock=lambda: self.time)
        self.tokens = Tokens(said, key_sets, now=lambda: self.time)

    async def ask(self, url: str) -> Any:
        return self.documents.get(url, self.issuer.jwks())

    async def put(self, row_id: str, row: Terms) -> None:
        table = {Team: "teams", User: "users", Key: "keys"}[type(row)]
        await self.records.change([Change(table, row_id, to_doc(row))])

    def token(self, **claims: Any) -> bytes:
        return self.issuer.sign({"iss": ISSUER, "sub": "ada", "exp": self.time + 3000, **claims}).encode()

    def known(self, token: bytes) -> Caller | None:
        return self.tokens.known_in(self.keys)(token)

    async def find(self, *shown: bytes) -> Caller:
        proven = await self.tokens.prove(shown)
        assert proven is not None
        return await self.tokens.caller(self.keys, proven)


@pytest.fixture
async def house() -> AsyncIterator[House]:
    made = House()
    yield made
    await made.tasks.close(1.0)


Find = Callable[..., Any]


@pytest.mark.requirement("access.token-cache")
async def test_a_token_is_verified_once_and_known_from_then_on(house: House) -> None:
    await house.put("t", Team(rpm_limit=3))
    token = house.token(team="t")
    assert house.known(token) is None
    found = await house.find(token)
    asked = house.records.asked
    assert house.known(token) is found
    assert (found.team_id, found.user_id, found.limits.requests[0].ceiling) == ("t", "ada", 3)
    assert house.records.asked == asked


@pytest.mark.requirement("access.token-cache")
async def test_no_part_of_a_token_stands_for_the_whole(house: House) -> None:
    await house.put("ada", User())
    token = house.token()
    await house.find(token)
    front, _, signature = token.rpartition(b".")
    others = [front + b".", front + b"." + signature[::-1], token + b"A", token[:-1]]
    for other in others:
        assert house.known(other) is None
        with pytest.raises(Unauthenticated):
            await house.find(other)
    # What a token is remembered under is no key.
    assert house.keys.known(token) is None


@pytest.mark.requirement("access.token-cache")
async def test_a_token_is_not_known_under_other_settings(house: House) -> None:
    await house.put("ada", User())
    token = house.token()
    await house.find(token)
    house.read(audiences=("gateway",))
    assert house.known(token) is None
    with pytest.raises(Unauthenticated, match="audience"):
        await house.find(token)


@pytest.mark.requirement("access.token-cache")
async def test_a_token_ends_when_it_says_so_also_when_it_is_known(house: House) -> None:
    await house.put("ada", User())
    token = house.token(exp=NOW + 100)
    await house.find(token)
    house.time += 159
    assert house.known(token) is not None
    house.time += 1
    assert house.known(token) is None
    with pytest.raises(Unauthenticated, match="has expired"):
        await house.find(token)


@pytest.mark.requirement("access.token-cache")
async def test_a_key_that_its_provider_takes_back_proves_nothing_after_its_time(house: House) -> None:
    await house.put("ada", User())
    token = house.token()
    await house.find(token)
    house.issuer = Issuer("ES384")
    house.time += 600
    assert house.known(token) is None
    await house.find(token)
    house.time += 600
    with pytest.raises(Unauthenticated, match="nobody here knows"):
        await house.find(token)


@pytest.mark.requirement("access.token-teams", "access.revocation")
async def test_who_is_blocked_is_so_for_tokens_that_are_known(house: House) -> None:
    await house.put("t", Team())
    token = house.token(team="t")
    await house.find(token)
    await house.put("t", Team(blocked=True))
    await house.keys.poll()
    assert house.known(token) is None
    with pytest.raises(Forbidden, match="This token's team is blocked"):
        await house.find(token)


@pytest.mark.requirement("access.token-strangers")
async def test_whoever_nobody_knows_here_is_not_let_in(house: House) -> None:
    with pytest.raises(Forbidden, match="neither a user nor a team"):
        await house.find(house.token())
    with pytest.raises(Forbidden, match="team is not known"):
        await house.find(house.token(team="t"))
    await house.put("ada", User())
    with pytest.raises(Forbidden, match="team is not known"):
        await house.find(house.token(team="t"))
    await house.keys.poll()
    assert (await house.find(house.token())).role == "key"


async def test_a_role_lets_in_whom_nobody_has_written_down(house: House) -> None:
    house.read(user_roles_claim="roles", user_roles=("staff",))
    assert (await house.find(house.token(roles=["staff"]))).user_id == "ada"


@pytest.mark.requirement("access.token-admins")
async def test_an_admin_by_scope_needs_no_row_and_no_store(house: House) -> None:
    house.records.is_down = True
    found = await house.find(house.token(sub=None, azp="terraform", scope="litellm_proxy_admin"))
    assert (found.role, found.key is not None) == ("admin", True)


async def test_of_several_teams_the_first_one_counts_that_is_known(house: House) -> None:
    house.read(teams_claim="groups")
    await house.put("b", Team())
    await house.put("c", Team())
    assert (await house.find(house.token(groups=["a", "b", "c"]))).team_id == "b"
    await house.put("ada", User())
    await house.keys.poll()
    assert (await house.find(house.token(groups=["a"]))).team_id is None
    house.read(teams_claim="groups", needs_team=True)
    with pytest.raises(Forbidden, match="names no team"):
        await house.find(house.token(groups=["a"]))


@pytest.mark.requirement("access.token-strangers", "access.audit")
async def test_users_and_teams_are_written_down_once_where_that_is_wanted(house: House) -> None:
    house.read(makes_users=True, makes_teams=True, email_claim="mail")
    found = await house.find(house.token(team="t", mail="ada@x.test"))
    assert (found.user_id, found.team_id) == ("ada", "t")
    await house.find(house.token(team="t", mail="ada@x.test", jti="2"))
    assert [(one.what, one.target, one.who) for one in house.records.log] == [
        ("team.new", "t", found.name),
        ("user.new", "ada", found.name),
    ]
    row = house.records.tables["users"]["ada"].doc
    assert (row["user_email"], row["created_by"]) == ("ada@x.test", found.account)


async def test_while_the_store_is_away_nobody_says_that_a_token_is_bad(house: House) -> None:
    house.records.is_down = True
    with pytest.raises(Overloaded):
        await house.find(house.token())


async def test_of_several_tokens_the_first_valid_one_counts_and_keys_are_none(house: House) -> None:
    await house.put("ada", User())
    assert (await house.find(b"sk-x", b"eyJ.a.b", house.token())).user_id == "ada"
    assert await house.tokens.prove([b"sk-x"]) is None
    with pytest.raises(Unauthenticated, match="malformed"):
        await house.tokens.prove([b"eyJ.a.b", b"sk-x"])


async def test_a_row_that_somebody_else_has_just_made_stays_as_it_is(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.read(makes_teams=True)
    real = house.records.change

    async def late(*given: Any) -> None:
        monkeypatch.setattr(house.records, "change", real)
        await house.put("t", Team(rpm_limit=3))
        await real(*given)

    monkeypatch.setattr(house.records, "change", late)
    found = await house.find(house.token(team="t"))
    assert found.limits.requests[0].ceiling == 3
    assert house.records.tables["teams"]["t"].doc["rpm_limit"] == 3


@pytest.mark.requirement("access.tokens")
async def test_who_publishes_the_keys_has_to_have_made_the_token(house: House) -> None:
    house.documents[URL] = {"issuer": ISSUER, "jwks_uri": URL + "/jwks"}
    await house.put("ada", User())
    await house.find(house.token())
    with pytest.raises(Unauthenticated, match="issuer"):
        await house.find(house.token(iss="https://other.test"))
