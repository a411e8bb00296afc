"""Tokens of an identity provider, from the SDK through a real process to the provider's keys and back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest
from system.conftest import MASTER_KEY, UPSTREAM_KEY
from system.process import Gateway
from system.upstream.server import FakeUpstream
from tokens import ISSUER, IdentityProvider, Issuer

CONFIG = """
model_list:
  - model_name: house-chat
    litellm_params: {{model: openai/gpt-4o, api_base: "{base}", api_key: {key}}}
  - model_name: other-chat
    litellm_params: {{model: openai/gpt-4o, api_base: "{base}", api_key: {key}}}
general_settings:
  master_key: {master}
  enable_jwt_auth: true
  litellm_jwtauth:
    user_id_jwt_field: sub
    team_id_jwt_field: client_id
"""
DISCOVERY = "/.well-known/openid-configuration"


@pytest.fixture(scope="module")
def provider() -> Iterator[IdentityProvider]:
    with IdentityProvider({}) as running:
        running.documents = {
            DISCOVERY: {"issuer": ISSUER, "jwks_uri": f"{running.url}/keys"},
            "/keys": Issuer("RS256").jwks(),
        }
        yield running


@pytest.fixture(scope="module")
def served(
    provider: IdentityProvider, upstream: FakeUpstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    config = CONFIG.format(base=upstream.base_url, key=UPSTREAM_KEY, master=MASTER_KEY)
    variables = {"JWT_PUBLIC_KEY_URL": provider.url + DISCOVERY, "JWT_AUDIENCE": "gateway"}
    with Gateway(tmp_path_factory.mktemp("tokens"), config, env=variables) as running:
        running.key = MASTER_KEY
        yield running
        said = running.stderr
        assert "eyJ" not in said


def token(team: str | None = None, **claims: Any) -> str:
    said = {"iss": ISSUER, "aud": ["gateway"], "sub": "ada", "exp": time.time() + 300, "client_id": team, **claims}
    return Issuer("RS256").sign({name: value for name, value in said.items() if value is not None})


@pytest.fixture
def sdk(served: Gateway) -> Iterator[Callable[[str], openai.OpenAI]]:
    made = []

    def make(key: str) -> openai.OpenAI:
        made.append(openai.OpenAI(base_url=f"{served.base_url}/v1", api_key=key, max_retries=0, timeout=20))
        return made[-1]

    yield make
    for one in made:
        one.close()


def say(client: openai.OpenAI, model: str = "house-chat") -> str | None:
    answer = client.chat.completions.create(model=model, messages=[{"role": "user", "content": "Hello"}], max_tokens=9)
    return answer.choices[0].message.content


@pytest.mark.requirement("access.tokens", "access.token-teams", "access.revocation")
def test_a_team_calls_with_its_own_tokens(
    served: Gateway, sdk: Callable[[str], openai.OpenAI], provider: IdentityProvider
) -> None:
    assert served.post("/team/new", {"team_id": "rail", "models": ["house-chat"]}).status == 200
    client = sdk(token("rail"))
    for _ in range(3):
        assert say(client)
    assert provider.asked == [DISCOVERY, "/keys"]
    assert [one.id for one in client.models.list()] == ["house-chat"]
    with pytest.raises(openai.NotFoundError):
        say(client, "other-chat")
    assert served.post("/team/block", {"team_id": "rail"}).status == 200
    with pytest.raises(openai.PermissionDeniedError, match="team is blocked"):
        say(client)


@pytest.mark.requirement("access.tokens")
@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"exp": 1}, "has expired"),
        ({"exp": None}, "has no 'exp'"),
        ({"nbf": 1e11}, "not valid yet"),
        ({"aud": "other"}, "another audience"),
        ({"iss": "https://other.test"}, "another issuer"),
        ({"sub": "a\nb"}, "no name"),
    ],
)
def test_what_is_wrong_with_a_token_is_said_and_not_repeated(
    sdk: Callable[[str], openai.OpenAI], claims: dict[str, Any], why: str
) -> None:
    shown = token("rail", **claims)
    with pytest.raises(openai.AuthenticationError, match=why) as caught:
        say(sdk(shown))
    assert shown not in caught.value.response.text


@pytest.mark.requirement("access.tokens")
def test_a_token_that_nobody_who_is_trusted_has_signed_is_refused(sdk: Callable[[str], openai.OpenAI]) -> None:
    foreign = Issuer("ES256").sign({"sub": "ada"})
    for shown, why in (
        (token("rail")[:-9] + "AAAAAAAAA", "signature"),
        ("eyJhbGciOiJub25lIn0.e30.", "algorithm"),
        ("eyJ.a.b", "malformed"),
        (foreign, "key that nobody here knows"),
    ):
        with pytest.raises(openai.AuthenticationError, match=why):
            say(sdk(shown))


@pytest.mark.requirement("access.token-strangers")
@pytest.mark.parametrize(("team", "why"), [("nobody", "team is not known here"), (None, "neither a user nor a team")])
def test_a_token_of_somebody_who_is_not_known_here_is_refused(
    sdk: Callable[[str], openai.OpenAI], team: str | None, why: str
) -> None:
    with pytest.raises(openai.PermissionDeniedError, match=why):
        say(sdk(token(team)))


@pytest.mark.requirement("access.token-teams")
def test_a_team_has_one_limit_for_all_its_tokens(served: Gateway, sdk: Callable[[str], openai.OpenAI]) -> None:
    assert served.post("/team/new", {"team_id": "few", "rpm_limit": 2}).status == 200
    say(sdk(token("few")))
    say(sdk(token("few", sub="bob")))
    with pytest.raises(openai.RateLimitError):
        say(sdk(token("few", sub="eve")))


@pytest.mark.requirement("access.token-teams", "access.token-spend")
def test_a_team_has_one_budget_for_all_its_tokens(served: Gateway, sdk: Callable[[str], openai.OpenAI]) -> None:
    assert served.post("/team/new", {"team_id": "poor", "max_budget": 0.000_01}).status == 200
    with pytest.raises(openai.RateLimitError, match=r"[Bb]udget"):
        say(sdk(token("poor")))
    assert served.post("/team/update", {"team_id": "poor", "max_budget": 10}).status == 200
    say(sdk(token("poor")))
    say(sdk(token("poor", sub="bob")))
    deadline = time.monotonic() + 10
    while len(rows := served.get("/spend/logs?team_id=poor", key=MASTER_KEY).json) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert {row["user"] for row in rows} == {"ada", "bob"}
    assert len({row["api_key"] for row in rows}) == 2


@pytest.mark.requirement("access.token-admins")
def test_an_admin_by_scope_makes_keys(served: Gateway, sdk: Callable[[str], openai.OpenAI]) -> None:
    boss = token(scope="openid litellm_proxy_admin")
    made = served.post("/key/generate", {"models": ["house-chat"]}, key=boss)
    assert made.status == 200
    assert say(sdk(made.json["key"]))
    assert served.post("/config/reload", {}, key=boss).status == 403
    assert served.post("/key/generate", {}, key=token("few")).status == 403
