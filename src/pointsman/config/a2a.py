"""``agents`` and ``a2a`` into the settings of the A2A gateway. Imported where a document says anything of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pointsman.a2a import litellm
from pointsman.a2a.checks import wrong_id, wrong_jwk, wrong_model
from pointsman.a2a.settings import A2aSettings, AgentSettings, AuthSettings, StreamLimits
from pointsman.access.places import OURS, wrong_header, wrong_network, wrong_url
from pointsman.config.a2a_agents import A2A, ADDED, AGENT, AUTH_TYPES, LITELLM_CARD, LITELLM_PARAMS, STREAM
from pointsman.config.check import Report, read_section
from pointsman.config.marks import Path
from pointsman.wire.secret import Secret

SWITCH = "A2A_GATEWAY_ENABLED"
OFF = frozenset({"false", "0", "no", "off"})
AUTO = "auto"
DIRECT = {
    "model": "model",
    "replicas": "replicas",
    "card_url": "card_url",
    "allowed_origins": "allowed_origins",
    "binding": "binding",
    "capabilities": "capabilities",
    "rewrite_card": "rewrites_card",
    "signatures": "signatures",
    "extra_headers": "forward_headers",
    "push": "push",
    "access_groups": "access_groups",
    "allow_all_keys": "allow_all_keys",
    "timeout": "timeout",
    "max_result_bytes": "max_result_bytes",
    "health_check": "health_check",
    "metadata": "metadata",
}
"""What is taken as it stands, and as what."""
STREAMS = {
    "idle_timeout": "idle_seconds",
    "timeout": "total_seconds",
    "max_bytes": "max_bytes",
    "max_event_bytes": "max_event_bytes",
}
OWN = {
    "enabled": "is_enabled",
    "public_url": "public_url",
    "card_form": "card_form",
    "default_agent": "default_agent",
    "allowed_hosts": "allowed_hosts",
    "allowed_private": "allowed_private",
    "allowed_key_urls": "allowed_key_urls",
    "signing_key": "signing_key",
    "task_owner": "task_owner",
    "task_days": "task_days",
    "ping_interval": "ping_seconds",
    "max_streams": "max_streams",
    "public_rpm": "public_rpm",
    "card_ttl": "card_seconds",
    "health_interval": "health_seconds",
    "as_mcp_tools": "as_mcp_tools",
}


def read_a2a(top: Mapping[str, Any], environment: Mapping[str, str], report: Report) -> A2aSettings | None:
    """The settings, where a document or the environment says anything of A2A."""
    name = AGENT.name if AGENT.name in top else "agent_list"
    stated, entries, switch = top.get(A2A.name), top.get(name), environment.get(SWITCH, "").strip().lower()
    if stated is None and entries is None and not switch:
        return None
    values = read_section(stated, A2A, (A2A.name,), report).values
    found: dict[str, Any] = {name: values[key] for key, name in OWN.items() if key in values}
    found.setdefault("is_enabled", switch not in OFF)
    _check(wrong_url(found["public_url"]) if "public_url" in found else None, (A2A.name, "public_url"), report)
    _check(_wrong_key(found["signing_key"]) if "signing_key" in found else None, (A2A.name, "signing_key"), report)
    for one in values.get("allowed_private", ()):
        _check(wrong_network(one), (A2A.name, "allowed_private"), report)
    for one in values.get("allowed_key_urls", ()):
        _check(wrong_url(one), (A2A.name, "allowed_key_urls"), report)
    agents = tuple(_agents(entries or (), name, report))
    hosts = {str(host).lower(): str(agent) for host, agent in values.get("hosts", {}).items()}
    _check_names(found.get("default_agent", ""), hosts, agents, report)
    return A2aSettings(agents=agents, hosts=hosts, **found)


def _check_names(default: str, hosts: Mapping[str, str], agents: Sequence[AgentSettings], report: Report) -> None:
    known = {agent.id for agent in agents}
    named = [((A2A.name, "hosts", host), agent) for host, agent in hosts.items()]
    for path, name in [((A2A.name, "default_agent"), default), *named]:
        if name and name not in known:
            report.warning(path, f"names no agent of the config: {name[:80]!r}", "it counts once it is registered")


def _agents(entries: Sequence[Any], section: str, report: Report) -> Iterator[AgentSettings]:
    ids: set[str] = set()
    for index, entry in enumerate(entries):
        path: Path = (section, index)
        agent = _agent(entry, path, report)
        if agent is None:
            continue
        if agent.id in ids:
            report.error(path, f"is the second agent with the id {agent.id}", "give it another agent_id")
        ids.add(agent.id)
        yield agent


def _agent(entry: Any, path: Path, report: Report) -> AgentSettings | None:
    """``None``: there is something wrong with it, or it is switched off."""
    reading = read_section(entry if entry is not None else "", AGENT, path, report)
    if not reading.is_sound or not reading.values.get("enabled", True):
        return None
    values = _with_litellm(reading.values, path, report)
    stated = values.get("name", "")
    agent_id = values.get("agent_id") or litellm.id_of(stated)
    name = stated or agent_id
    _check(wrong_id(agent_id), (*path, "agent_id") if "agent_id" in values else path, report)
    _check_way(values, path, report)
    _check_texts(values, path, report)
    version = values.get("protocol_version", AUTO)
    stream = read_section(values.get(STREAM.name), STREAM, (*path, STREAM.name), report).values
    return AgentSettings(
        id=agent_id,
        name=name,
        description=values.get("description", ""),
        url=values.get("url", ""),
        protocol_version=None if version == AUTO else version,
        card=values.get("card", {}),
        signing_keys=tuple(values.get("signing_keys", ())),
        auth=_auth(values, path, report),
        static_headers=dict(values.get("static_headers", ())),
        adds=_adds(values, path, report),
        is_public=values.get("public", False),
        stream=StreamLimits(**{name: stream[key] for key, name in STREAMS.items() if key in stream}),
        cost_usd=str(values.get("cost_per_message", "0")),
        allow_private=True,
        **{name: values[key] for key, name in DIRECT.items() if key in values},
    )


def _with_litellm(values: Mapping[str, Any], path: Path, report: Report) -> dict[str, Any]:
    """The same with what LiteLLM's members say where nothing else does."""
    inner = (*path, LITELLM_CARD.name)
    card = read_section(values.get(LITELLM_CARD.name), LITELLM_CARD, inner, report)
    params = read_section(values.get("litellm_params"), LITELLM_PARAMS, (*path, "litellm_params"), report)
    for name in params.extra:
        report.notice((*path, "litellm_params", name), "is not acted on by this version")
    found: dict[str, Any] = litellm.from_card({**card.extra, **card.values})
    found["name"] = values.get("agent_name", found.get("name", ""))
    found |= {litellm.PARAMS[name]: value for name, value in params.values.items()}
    merged = found | dict(values)
    if "card" in values:
        merged["card"] = {**found.get("card", {}), **values["card"]}
    return merged


def _check_way(values: Mapping[str, Any], path: Path, report: Report) -> None:
    if "model" in values:
        _check(wrong_model(values["model"]), (*path, "model"), report)
        if values.get("public"):
            report.warning((*path, "public"), "lets anybody use the model, and nobody pays for it")
        if values.get("url") or "replicas" in values or "card_url" in values:
            report.error(path, "has a model and an address, and can be only one of them")
        return
    if not values.get("url"):
        report.error(path, "has neither a url nor a model")
        return
    for name in ("url", "card_url"):
        _check(wrong_url(values[name]) if values.get(name) else None, (*path, name), report)
    for name in ("replicas", "allowed_origins"):
        for one in values.get(name, ()):
            _check(wrong_url(one), (*path, name), report)


def _check_texts(values: Mapping[str, Any], path: Path, report: Report) -> None:
    for one in values.get("signing_keys", ()):
        wrong = wrong_jwk(one) if isinstance(one, dict) else "a key is a mapping: a JSON Web Key"
        _check(wrong, (*path, "signing_keys"), report)
    for name, _ in values.get("static_headers", ()):
        _check(wrong_header(name), (*path, "static_headers"), report)
    forwarded = values.get("extra_headers", ())
    for one in forwarded:
        _check(wrong_header(one), (*path, "extra_headers"), report)
    if any(one.lower() in OURS for one in forwarded):
        what = "names a header that may hold the key of this gateway, and so is never passed on"
        report.warning((*path, "extra_headers"), what, "auth_type and auth_value say what the agent is shown")
    if not values.get("rewrite_card", True):
        report.warning((*path, "rewrite_card"), "tells clients the address of the agent, past the gateway")


def _adds(values: Mapping[str, Any], path: Path, report: Report) -> tuple[Any, ...]:
    found = values.get("adds", ("list",))
    strange = [one for one in found if one not in ADDED]
    if strange:
        report.error((*path, "adds"), "must be of " + ", ".join(ADDED))
    return tuple(one for one in ADDED if one in found)


def _auth(values: Mapping[str, Any], path: Path, report: Report) -> AuthSettings:
    kind = values.get("auth_type", "none")
    if kind not in AUTH_TYPES:
        report.error((*path, "auth_type"), "must be one of " + ", ".join(AUTH_TYPES))
        return AuthSettings()
    if kind == "oauth2":
        return _oauth(values, path, report)
    value: Secret | None = values.get("auth_value")
    if kind != "none" and value is None:
        report.error(path, f"has no auth_value, which auth_type {kind} needs")
    if kind == "none" or value is None:
        return AuthSettings()
    return AuthSettings(kind=kind, header=values.get("auth_header", AuthSettings().header), value=value)


def _oauth(values: Mapping[str, Any], path: Path, report: Report) -> AuthSettings:
    needed = ("client_id", "client_secret", "token_url")
    absent = [name for name in needed if name not in values]
    if absent:
        report.error(path, f"has no {absent[0]}, which auth_type oauth2 needs")
        return AuthSettings()
    _check(wrong_url(values["token_url"]), (*path, "token_url"), report)
    return AuthSettings(
        kind="oauth2",
        client_id=values["client_id"],
        client_secret=values["client_secret"],
        token_url=values["token_url"],
        scopes=values.get("scopes", ()),
    )


def _wrong_key(pem: Secret) -> str | None:
    from pointsman.a2a.cards.signing import CannotSign, Signer  # noqa: PLC0415  few sign their cards

    try:
        Signer(pem)
    except CannotSign as error:
        return str(error)
    return None


def _check(wrong: str | None, path: Path, report: Report) -> None:
    if wrong is not None:
        report.error(path, wrong)
