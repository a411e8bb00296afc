"""``enable_jwt_auth`` and ``litellm_jwtauth`` into the settings of tokens.

What would let in more than the operator has meant is an error, not a warning.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any

from pointsman.access.policy import unknown_route
from pointsman.access.settings import TokenSettings
from pointsman.access.signatures import INSTALL
from pointsman.config.check import Report, read_section
from pointsman.config.jwt import INTERNAL_ROLES, JWT, ROLE_MAPPING, SCOPE_MAPPING
from pointsman.config.marks import Path
from pointsman.config.tables import Section
from pointsman.upstream.routes import parse_origin

SWITCH: Path = ("general_settings", "enable_jwt_auth")
PATH: Path = ("general_settings", JWT.name)
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
NARROWING = (
    "custom_validate",
    "object_id_jwt_field",
    "virtual_key_claim_field",
)
"""Settings of LiteLLM's that this version does not have, and without which others would be let in."""
ROUTE_GROUPS = {"spend_tracking_routes": "info_routes", "global_spend_tracking_routes": "info_routes"}
"""LiteLLM's names of groups of paths, and ours."""
DIRECT = {
    "public_key_ttl": "key_seconds",
    "admin_jwt_scope": "admin_scope",
    "user_id_jwt_field": "user_claim",
    "user_email_jwt_field": "email_claim",
    "user_allowed_email_domain": "email_domain",
    "user_id_upsert": "makes_users",
    "team_id_jwt_field": "team_claim",
    "team_ids_jwt_field": "teams_claim",
    "team_id_default": "default_team",
    "team_id_upsert": "makes_teams",
    "enforce_team_based_model_access": "needs_team",
    "org_id_jwt_field": "organization_claim",
    "user_roles_jwt_field": "user_roles_claim",
    "user_allowed_roles": "user_roles",
    "roles_jwt_field": "roles_claim",
    "enforce_rbac": "needs_role",
    "enforce_scope_based_access": "needs_scope",
}
"""What is taken as it stands, and as what."""
TOGETHER = (
    ("user_allowed_email_domain", "user_email_jwt_field"),
    ("user_allowed_roles", "user_roles_jwt_field"),
    ("role_mappings", "roles_jwt_field"),
    ("enforce_rbac", "role_mappings"),
    ("enforce_scope_based_access", "scope_mappings"),
)
"""Settings that mean nothing without another one."""


def read_tokens(
    general: Mapping[str, Any], environment: Mapping[str, str], report: Report, *, has_key: bool
) -> TokenSettings | None:
    """The settings of tokens, if they are switched on; ``has_key`` tells whether there is a master key."""
    if not general.get("enable_jwt_auth"):
        return None
    stated = general.get(JWT.name)
    values = read_section(stated, JWT, PATH, report).values
    for name in NARROWING:
        if isinstance(stated, dict) and stated.get(name) is not None:
            report.error((*PATH, name), "is not there in this version, which would let in others without it")
    for name, other in TOGETHER:
        if values.get(name) and not values.get(other):
            report.error((*PATH, name), f"needs {other}")
    if not has_key:
        report.error(SWITCH, "needs a master_key: without one the gateway asks nobody who he is")
    if find_spec("joserfc") is None:
        report.error(SWITCH, "needs joserfc, which is not installed", INSTALL)
    urls = tuple(_urls(values, environment, report))
    settings = TokenSettings(
        key_urls=urls,
        audiences=_stated(values, "audience", environment, "JWT_AUDIENCE"),
        issuers=_stated(values, "issuer", environment, "JWT_ISSUER"),
        roles=dict(_roles(values.get("role_mappings", []), report)),
        scopes=dict(_scopes(values.get("scope_mappings", []), report)),
        **_routes(values, report),
        **{name: values[key] for key, name in DIRECT.items() if key in values},
    )
    if not settings.audiences:
        what = "lets in whoever has a token of the same provider, also one that is meant for something else"
        report.warning(SWITCH, what, "set audience, or JWT_AUDIENCE")
    return settings if urls else None


def _stated(values: Mapping[str, Any], name: str, environment: Mapping[str, str], variable: str) -> tuple[str, ...]:
    """What a document says, else a variable, in which commas part several."""
    given = values.get(name)
    texts = environment.get(variable, "").split(",") if given is None else given
    return tuple(text.strip() for text in texts if text.strip())


def _urls(values: Mapping[str, Any], environment: Mapping[str, str], report: Report) -> Iterator[str]:
    path = (*PATH, "public_key_url") if "public_key_url" in values else SWITCH
    given = _stated(values, "public_key_url", environment, "JWT_PUBLIC_KEY_URL")
    if not given:
        report.error(path, "needs the address of the public keys", "set public_key_url, or JWT_PUBLIC_KEY_URL")
    for url in given:
        try:
            origin = parse_origin(url)
        except ValueError as error:
            report.error(path, f"names no public keys: {error}")
            continue
        if not (url.isascii() and url.isprintable()) or " " in url:
            report.error(path, "names no public keys: the address has characters that no address has")
            continue
        if origin.scheme == "http" and origin.host not in LOOPBACK:
            what = "lets whoever is between here and there make tokens: the address of the public keys is not https"
            report.warning(path, what)
        yield url


def _routes(values: Mapping[str, Any], report: Report) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, name in (("admin_allowed_routes", "admin_routes"), ("team_allowed_routes", "routes")):
        if key in values:
            routes = tuple(dict.fromkeys(ROUTE_GROUPS.get(one, one) for one in values[key]))
            wrong = unknown_route(routes)
            if wrong is not None or not routes:
                report.error((*PATH, key), "must name paths, or groups of them", "see docs/reference/access.md")
            found[name] = routes
    return found


def _roles(entries: list[Any], report: Report) -> Iterator[tuple[str, str]]:
    for values, path in _entries(entries, ROLE_MAPPING, report):
        if values["internal_role"] not in INTERNAL_ROLES:
            report.error((*path, "internal_role"), "must be one of " + ", ".join(INTERNAL_ROLES))
        yield values["role"], values["internal_role"]


def _scopes(entries: list[Any], report: Report) -> Iterator[tuple[str, tuple[str, ...]]]:
    for values, _ in _entries(entries, SCOPE_MAPPING, report):
        yield values["scope"], values["models"]


def _entries(entries: list[Any], section: Section, report: Report) -> Iterator[tuple[dict[str, Any], Path]]:
    for index, entry in enumerate(entries):
        path = (*PATH, section.name, index)
        reading = read_section(entry if entry is not None else "", section, path, report)
        missing = [key.name for key in section.keys if key.is_required and key.name not in reading.values]
        if not missing:
            yield reading.values, path
        elif reading.is_sound:
            report.error(path, f"has no {missing[0]}")
