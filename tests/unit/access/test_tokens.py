from __future__ import annotations

import base64
import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pointsman.access.caller import Family
from pointsman.access.keys import Key, Member, Team, User
from pointsman.access.policy import may_grant, may_raise
from pointsman.access.settings import TokenSettings
from pointsman.access.tokens import (
    ALGORITHMS,
    LEEWAY,
    MAX_TEAMS,
    MAX_TOKEN_BYTES,
    Head,
    Party,
    caller_of_token,
    check_claims,
    head_of,
    is_token,
    party_of,
)
from pointsman.errors import Forbidden, Unauthenticated

NOW = 1_700_000_000.0
CLAIMS = {"iss": "https://idp.test", "aud": "gateway", "sub": "ada", "exp": NOW + 300}
CANARY = "canary-41f0"


def settings(**more: Any) -> TokenSettings:
    return TokenSettings(key_urls=("https://idp.test/keys",), **more)


def party(claims: Any = None, /, **more: Any) -> Party:
    return party_of({**CLAIMS, **(claims or {})}, settings(**more))


def head(**members: Any) -> bytes:
    return base64.urlsafe_b64encode(json.dumps(members).encode()).rstrip(b"=") + b".e30.c2ln"


def test_a_token_is_told_from_a_key_by_its_looks() -> None:
    assert is_token(head(alg="RS256"))
    for shown in (b"", b"sk-1234", b"sk-a.b.c", b"eyJhbGciOiJSUzI1NiJ9", b"eyJ.a.b.c.d", b"a.b.c"):
        assert not is_token(shown)


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_the_head_says_which_key_has_signed_it(algorithm: str) -> None:
    assert head_of(head(alg=algorithm, kid="k", typ="JWT")) == Head(algorithm, "k")
    assert head_of(head(alg=algorithm)).kid is None


@pytest.mark.requirement("access.tokens")
@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", "HS256", "HS384", "HS512", "RS1", "rs256", CANARY])
def test_no_other_algorithm_is_accepted(algorithm: str) -> None:
    with pytest.raises(Unauthenticated, match="algorithm") as caught:
        head_of(head(alg=algorithm, kid=CANARY))
    assert CANARY not in caught.value.message


@pytest.mark.parametrize(
    "token",
    [
        b"eyJ!!!.a.b",
        b"eyJ.a.b",
        head(kid="k"),
        head(alg=["RS256"]),
        head(alg=None),
        head(alg="RS256", kid=5),
        b"eyJ" + b"[" * 8000 + b".a.b",
        b"eyJ" + b"\xff" * 9 + b".a.b",
    ],
)
def test_what_is_no_head_is_malformed(token: bytes) -> None:
    with pytest.raises(Unauthenticated, match="The token is malformed") as caught:
        head_of(token)
    assert (caught.value.status, caught.value.code) == (401, "invalid_token")


def test_a_token_has_a_bound() -> None:
    with pytest.raises(Unauthenticated, match="too long"):
        head_of(b"eyJ" + b"a" * MAX_TOKEN_BYTES + b".a.b")


@pytest.mark.requirement("access.tokens")
@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"exp": NOW - LEEWAY}, "has expired"),
        ({"exp": None}, "has no 'exp'"),
        ({"exp": True}, "'exp' that is no time"),
        ({"exp": CANARY}, "'exp' that is no time"),
        ({"exp": float("inf")}, "'exp' that is no time"),
        ({"nbf": NOW + LEEWAY + 1}, "not valid yet"),
        ({"nbf": "soon"}, "'nbf' that is no time"),
        ({"iss": CANARY}, "another issuer"),
        ({"iss": None}, "another issuer"),
        ({"iss": ["https://idp.test"]}, "another issuer"),
        ({"aud": CANARY}, "another audience"),
        ({"aud": None}, "another audience"),
        ({"aud": [CANARY, {}]}, "another audience"),
        ({"aud": {"gateway": 1}}, "another audience"),
    ],
)
def test_a_token_that_is_not_for_here_and_now_is_refused_without_repeating_it(claims: Any, why: str) -> None:
    given = settings(audiences=("gateway", "other"), issuers=("https://idp.test",))
    with pytest.raises(Unauthenticated, match=why) as caught:
        check_claims({**CLAIMS, **claims}, given, NOW)
    assert CANARY not in str(caught.value)
    assert ("www-authenticate", 'Bearer error="invalid_token"') in caught.value.headers


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"aud": ["x", "other"]},
        {"exp": NOW - LEEWAY + 1},
        {"nbf": NOW + LEEWAY},
        {"nbf": None},
        {"exp": NOW + 0.5},
    ],
)
def test_clocks_may_differ_a_little_and_one_audience_is_enough(claims: Any) -> None:
    check_claims({**CLAIMS, **claims}, settings(audiences=("gateway", "other"), issuers=("https://idp.test",)), NOW)


def test_who_publishes_the_keys_is_the_issuer_where_nobody_says_another() -> None:
    check_claims(CLAIMS, settings(), NOW)
    check_claims(CLAIMS, settings(), NOW, "https://idp.test")
    check_claims(CLAIMS, settings(issuers=("https://idp.test",)), NOW, "https://other.test")
    with pytest.raises(Unauthenticated, match="issuer"):
        check_claims(CLAIMS, settings(), NOW, "https://other.test")


# -- whom it names ----------------------------------------------------------------------------------------------------


def test_claims_are_found_by_name_or_by_the_way_to_them() -> None:
    claims = {"a": {"b": {"team": "t"}}, "https://x.test/user": "u", "org": 7, "mail": "u@x.test"}
    found = party(
        claims,
        team_claim="a.b.team",
        user_claim="https://x.test/user",
        organization_claim="org",
        email_claim="mail",
    )
    assert (found.team_id, found.user_id, found.organization_id, found.email) == ("t", "u", "7", "u@x.test")
    assert found.expires == CLAIMS["exp"] + LEEWAY  # type: ignore[operator]
    assert party(claims, team_claim="a.b.c.d", user_claim="mail.x").user_id is None


@pytest.mark.parametrize("value", [["t"], {"t": 1}, True, 1.5, "a\nb", "x" * 201])
def test_what_is_no_name_is_refused(value: Any) -> None:
    with pytest.raises(Unauthenticated, match="'team' that is no name"):
        party({"team": value}, team_claim="team")


def test_of_several_teams_all_are_told_and_a_default_is_for_those_without() -> None:
    given = {"team_claim": "team", "teams_claim": "groups", "default_team": "all"}
    assert party({"groups": ["a", "b"]}, **given).team_ids == ("a", "b")
    assert party({"groups": "a"}, **given).team_ids == ("a",)
    assert party({"groups": ["a"], "team": "t"}, **given).team_ids == ()
    assert party({}, **given).team_id == "all"
    assert party({"groups": []}, **given).team_id == "all"
    with pytest.raises(Unauthenticated, match="more than"):
        party({"groups": ["a"] * (MAX_TEAMS + 1)}, **given)


@pytest.mark.requirement("access.token-admins")
@pytest.mark.parametrize("scopes", [{"scope": "a boss"}, {"scope": ["boss"]}, {"scp": "boss"}, {"scp": ["a", "boss"]}])
def test_a_scope_makes_an_admin_who_is_of_no_team(scopes: Any) -> None:
    found = party({**scopes, "team": "t"}, admin_scope="boss", team_claim="team", default_team="all")
    assert (found.role, found.team_id) == ("admin", None)
    assert party(scopes).role is None


@pytest.mark.requirement("access.token-admins")
def test_roles_of_the_provider_are_roles_here() -> None:
    roles = {"B": "proxy_admin", "W": "proxy_admin_viewer", "U": "internal_user"}
    given = {"roles_claim": "realm.roles", "roles": roles}
    said = {"realm": {"roles": ["W", "B"]}}
    assert party(said, **given).role == "admin"
    assert party({"realm": {"roles": "W x"}}, **given).role == "read_only"
    user = party({"realm": {"roles": ["U", 3]}}, **given, needs_role=True)
    assert (user.role, user.is_vouched) == (None, True)
    assert not party({"realm": {"roles": ["b"]}}, **given).is_vouched
    with pytest.raises(Forbidden, match="roles"):
        party({"realm": {"roles": ["b"]}}, **given, needs_role=True)
    assert party({"scope": "litellm_proxy_admin"}, **given, needs_role=True).role == "admin"


def test_only_whoever_has_an_allowed_role_is_let_in() -> None:
    given = {"user_roles_claim": "roles", "user_roles": ("staff",)}
    assert party({"roles": ["staff"]}, **given).is_vouched
    for roles in (["guest"], "guest", None, {"staff": 1}):
        with pytest.raises(Forbidden, match="roles"):
            party({"roles": roles}, **given)


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"email": "a@evil.test"},
        {"email": "a@x.test.evil"},
        {"email": "a@x.test", "email_verified": False},
        {"email": "a@x.test", "email_verified": "false"},
        {"email": "a@x.test", "email_verified": None},
        {"email": "a@x.test", "email_verified": []},
        {"email": "a@evil.test@x.test"},
    ],
)
def test_only_addresses_of_the_domain_are_let_in(claims: Any) -> None:
    given = {"email_claim": "email", "email_domain": "x.test"}
    assert party({"email": "a@X.test"}, **given).email == "a@X.test"
    with pytest.raises(Forbidden, match="domain"):
        party(claims, **given)


def test_scopes_may_hold_models_and_without_them_there_are_none() -> None:
    given = {"scopes": {"s": ("a", "b"), "t": ("b", "c")}, "needs_scope": True}
    assert party({"scope": "s t x"}, **given).models == ("a", "b", "c")
    assert party({"scope": "litellm_proxy_admin"}, **given).models == ()
    assert party({"scope": "s"}, scopes=given["scopes"]).models == ()
    with pytest.raises(Forbidden, match="scopes"):
        party({"scope": "x"}, **given)


@pytest.mark.requirement("access.token-spend")
def test_spend_is_booked_under_one_account_for_each_whom_the_provider_tells_apart() -> None:
    given = {"user_claim": "uid", "team_claim": "team"}
    ada = party({"uid": "ada"}, **given).account
    assert ada.startswith("jwt:ada:")
    assert party({"uid": "ada", "exp": NOW + 900, "jti": "x"}, **given).account == ada
    others = [{"uid": "ada", "team": "t"}, {"uid": "ada", "sub": "bob"}, {"uid": "ada", "iss": "x"}, {"uid": "bob"}]
    assert len({ada, *(party(one, **given).account for one in others)}) == 5
    assert party({"sub": None, "azp": "app"}).account.startswith("jwt:client:")
    with pytest.raises(Unauthenticated, match="names nobody"):
        party({"sub": None})


# -- what it may do ---------------------------------------------------------------------------------------------------


def caller(given: Party, now: float = NOW, said: TokenSettings | None = None, **rows: Any) -> Any:
    key = given.key(given.team_id)
    return caller_of_token(given, said or settings(), Family(id="", key=key, **rows), now)


@pytest.mark.requirement("access.token-admins")
def test_the_token_of_an_admin_makes_no_admin_that_outlasts_it() -> None:
    found = caller(party({"sub": "ada", "scope": "litellm_proxy_admin"}))
    assert found.role == "admin"
    refused = may_grant(found, Key(user_id="ada"), "admin")
    assert refused is not None
    assert refused.param == "expires"
    assert may_raise(found, "proxy_admin") is not None
    assert may_grant(found, Key(user_id="bob")) is None


@pytest.mark.requirement("access.token-teams")
def test_a_token_is_within_the_limits_of_its_team() -> None:
    given = party({"team": "t"}, team_claim="team")
    found = caller(given, team=Team(models=("m",), rpm_limit=5))
    assert (found.role, found.team_id, found.may_use("m"), found.may_use("x")) == ("key", "t", True, False)
    assert [one.key for one in found.limits.requests] == ["rpm:team:t"]
    assert found.key.allowed_routes == ("openai_routes", "info_routes")
    assert found.key.expires == datetime.fromtimestamp(given.expires, UTC)


def test_a_callers_role_is_the_tokens_or_that_of_his_rows() -> None:
    worker = party({"team": "t"}, team_claim="team", user_claim="sub")
    team = Team(members_with_roles=(Member("ada", "admin"),))
    assert caller(worker, team=team, user=User()).role == "team_admin"
    boss = caller(worker, team=team, user=User(user_role="proxy_admin"), said=settings(admin_routes=("/spend/*",)))
    assert (boss.role, boss.key.allowed_routes) == ("admin", ("/spend/*",))
    assert caller(party({"scope": "litellm_proxy_admin"})).role == "admin"


def test_a_caller_is_believed_no_longer_than_keys_and_never_beyond_the_token() -> None:
    assert caller(party()).expires == CLAIMS["exp"] + LEEWAY  # type: ignore[operator]
    assert caller(party({"exp": NOW + 9000})).expires == NOW + 600
    assert caller(party({"exp": 1e18})).expires == NOW + 600


@pytest.mark.parametrize("rows", [{"team": Team(blocked=True)}, {"team": None}, {"team": Team(budget_id="gone")}])
def test_whoever_is_blocked_or_gone_is_told_of_his_token(rows: Any) -> None:
    with pytest.raises(Forbidden, match="This token's"):
        caller(party({"team": "t"}, team_claim="team"), **rows)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text("a@. \n\x00é", max_size=8)
    | st.sampled_from([10**400, -(10**30), "staff", "R", "s", "litellm_proxy_admin", "a@x.test"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
    max_leaves=6,
)
NAMES = ("iss", "sub", "aud", "exp", "nbf", "scope", "scp", "team", "groups", "org", "email", "roles", "azp")


@pytest.mark.requirement("access.tokens")
@given(claims=st.dictionaries(st.sampled_from(NAMES), JSON), exp=st.sampled_from([NOW + 5, 10**400, -(10**30), None]))
@example(claims={"exp": 10**400}, exp=None)
@example(claims={"iss": 10**5000, "azp": "a", "sub": 10**5000, "scope": "s"}, exp=NOW + 5)
def test_whatever_a_token_says_it_is_let_in_or_refused(claims: dict[str, Any], exp: Any) -> None:
    said = claims if exp is None else {"exp": exp, **claims}
    loose = settings(
        user_claim="sub",
        email_claim="email",
        team_claim="team",
        teams_claim="groups.a",
        organization_claim="org",
        roles_claim="roles",
        roles={"R": "internal_user"},
        scopes={"s": ("m",)},
        needs_scope=True,
    )
    with suppress(Unauthenticated):
        check_claims(said, settings(audiences=("g",), issuers=("i",)), NOW)
    with suppress(Unauthenticated, Forbidden):
        check_claims(said, loose, NOW)
        caller(party_of(said, loose))
