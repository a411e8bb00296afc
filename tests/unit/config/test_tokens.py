from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import pytest

from pointsman.access.settings import TokenSettings
from pointsman.config import tokens

if TYPE_CHECKING:
    from unit.config.conftest import Build, Built

KEYS = "https://idp.test/keys"
TEXT = """
model_list: [{model_name: m, litellm_params: {model: demo/small}}]
general_settings:
  master_key: sk-1
  enable_jwt_auth: true
  litellm_jwtauth:
"""
WHOLE = """
    public_key_url: [https://idp.test/keys, https://other.test/.well-known/openid-configuration]
    audience: gateway
    issuer: [https://idp.test]
    public_key_ttl: 60
    admin_jwt_scope: boss
    admin_allowed_routes: [management_routes, global_spend_tracking_routes, info_routes]
    team_allowed_routes: [/v1/chat/completions]
    user_id_jwt_field: sub
    user_email_jwt_field: email
    user_allowed_email_domain: x.test
    user_id_upsert: true
    team_id_jwt_field: client_id
    team_ids_jwt_field: groups
    team_id_default: all
    team_id_upsert: true
    enforce_team_based_model_access: true
    org_id_jwt_field: org
    user_roles_jwt_field: realm_access.roles
    user_allowed_roles: [staff]
    roles_jwt_field: roles
    role_mappings: [{role: R, internal_role: internal_user}]
    enforce_rbac: true
    scope_mappings: [{scope: s, models: [m]}]
    enforce_scope_based_access: true
"""


def read(build: Build, text: str, environment: dict[str, str] | None = None) -> TokenSettings:
    found = build(TEXT + text, environment or {}).good.access.tokens
    assert found is not None
    return found


def errors(built: Built) -> str:
    assert built.snapshot is None
    return "\n".join(built.said("error"))


@pytest.mark.requirement("access.token-litellm")
def test_each_setting_of_litellms_is_one_of_ours(build: Build) -> None:
    built = build(TEXT + WHOLE)
    assert built.good.access.tokens == TokenSettings(
        key_urls=(KEYS, "https://other.test/.well-known/openid-configuration"),
        audiences=("gateway",),
        issuers=("https://idp.test",),
        key_seconds=60.0,
        admin_scope="boss",
        admin_routes=("management_routes", "info_routes"),
        routes=("/v1/chat/completions",),
        user_claim="sub",
        email_claim="email",
        email_domain="x.test",
        makes_users=True,
        team_claim="client_id",
        teams_claim="groups",
        default_team="all",
        makes_teams=True,
        needs_team=True,
        organization_claim="org",
        user_roles_claim="realm_access.roles",
        user_roles=("staff",),
        roles_claim="roles",
        roles={"R": "internal_user"},
        needs_role=True,
        scopes={"s": ("m",)},
        needs_scope=True,
    )
    assert "jwt" not in built.all()


@pytest.mark.requirement("access.token-litellm")
def test_addresses_audience_and_issuer_may_come_from_the_environment(build: Build) -> None:
    variables = {
        "JWT_PUBLIC_KEY_URL": f"{KEYS}, https://b.test/keys?p=1",
        "JWT_AUDIENCE": "a,b",
        "JWT_ISSUER": "https://i.test",
    }
    found = read(build, "    user_id_jwt_field: sub\n", variables)
    assert found.key_urls == (KEYS, "https://b.test/keys?p=1")
    assert (found.audiences, found.issuers) == (("a", "b"), ("https://i.test",))
    stated = read(build, f"    public_key_url: {KEYS}\n    audience: c\n", variables)
    assert (stated.key_urls, stated.audiences) == ((KEYS,), ("c",))
    one, other = (build(TEXT, variables | {"JWT_AUDIENCE": name}).good.hash for name in "ab")
    assert one != other


def test_without_the_switch_tokens_let_nobody_in(build: Build) -> None:
    built = build((TEXT + WHOLE).replace("enable_jwt_auth: true", "enable_jwt_auth: false"))
    assert built.good.access.tokens is None
    assert build(TEXT.partition("general_settings")[0], {"JWT_PUBLIC_KEY_URL": KEYS}).good.access.tokens is None


@pytest.mark.requirement("access.tokens")
@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("    {}\n", "needs the address of the public keys"),
        ("    public_key_url: ftp://idp.test\n", "names no public keys"),
        ("    public_key_url: https://u:canary@idp.test\n", "must not hold a user name"),
        ('    public_key_url: "https://idp.test/a b"\n', "characters"),
        (f"    public_key_url: {KEYS}\n    custom_validate: my.check\n", "custom_validate: is not there"),
        (f"    public_key_url: {KEYS}\n    object_id_jwt_field: oid\n", "object_id_jwt_field: is not there"),
        (f"    public_key_url: {KEYS}\n    user_allowed_email_domain: x.test\n", "needs user_email_jwt_field"),
        (f"    public_key_url: {KEYS}\n    user_allowed_roles: [a]\n", "needs user_roles_jwt_field"),
        (f"    public_key_url: {KEYS}\n    enforce_rbac: true\n", "needs role_mappings"),
        (f"    public_key_url: {KEYS}\n    enforce_scope_based_access: true\n", "needs scope_mappings"),
        (f"    public_key_url: {KEYS}\n    team_allowed_routes: [chat]\n", "must name paths"),
        (f"    public_key_url: {KEYS}\n    team_allowed_routes: []\n", "must name paths"),
        (
            f"    public_key_url: {KEYS}\n    roles_jwt_field: r\n    role_mappings: [{{role: a, internal_role: x}}]\n",
            "must be one of proxy_admin",
        ),
        (f"    public_key_url: {KEYS}\n    roles_jwt_field: r\n    role_mappings: [{{role: a}}]\n", "internal_role"),
        (f"    public_key_url: {KEYS}\n    scope_mappings: [s]\n", "must be a mapping"),
    ],
)
def test_what_would_let_in_more_than_was_meant_stops_the_start(build: Build, text: str, what: str) -> None:
    said = errors(build(TEXT + text))
    assert what in said
    assert "canary" not in said


@pytest.mark.requirement("access.tokens")
def test_tokens_need_a_master_key(build: Build) -> None:
    said = errors(build(TEXT.replace("  master_key: sk-1\n", "") + f"    public_key_url: {KEYS}\n"))
    assert "needs a master_key" in said
    assert read(build, f"    public_key_url: {KEYS}\n") == TokenSettings(key_urls=(KEYS,))
    assert build(TEXT.replace("sk-1", "auto") + f"    public_key_url: {KEYS}\n").good.is_master_key_automatic


def test_what_is_probably_not_meant_so_is_said(build: Build) -> None:
    loose = build(TEXT + "    public_key_url: http://idp.test/keys\n").said("warning")
    assert len(loose) == 2
    assert "not https" in loose[0] + loose[1]
    assert build(TEXT + "    public_key_url: http://127.0.0.1:1/keys\n    audience: a\n").said("warning") == []


def test_where_joserfc_is_not_installed_the_extra_is_named(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    def find(name: str) -> Any:
        return None if name == "joserfc" else importlib.util.find_spec(name)

    monkeypatch.setattr(tokens, "find_spec", find)
    built = build(TEXT + f"    public_key_url: {KEYS}\n")
    assert "needs joserfc" in errors(built)
    assert "pip install 'pointsman[oidc]'" in built.all()
