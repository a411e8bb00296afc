"""Agents as clients of the registry write them, and as they are told.

What is secret goes in and never comes out; it stays with the addresses that it was given for.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from typing import Annotated, Any, Literal

import msgspec

from pointsman.a2a.checks import wrong_id, wrong_jwk, wrong_model
from pointsman.a2a.protocol.operations import Binding, Version
from pointsman.a2a.settings import (
    A2aSettings,
    AgentSettings,
    AuthKind,
    AuthSettings,
    Push,
    Signatures,
    StreamLimits,
)
from pointsman.access import registering
from pointsman.access.places import origin_of
from pointsman.access.registering import (
    AuthBody,
    Headers,
    Names,
    ResultBytes,
    Seconds,
    Text,
    check_cost,
    check_url,
    refuse,
    settle_auth,
    settle_headers,
)
from pointsman.errors import InvalidRequest
from pointsman.upstream.guard import Guard
from pointsman.wire.secret import Secret

Url = Annotated[str, msgspec.Meta(max_length=2048)]
Bytes = Annotated[int, msgspec.Meta(ge=1024, le=1 << 40)]


class StreamBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``stream``: bounds of one stream of events."""

    idle_timeout: Seconds = 600.0
    timeout: Annotated[float, msgspec.Meta(gt=0, le=30 * 86_400)] = 86_400.0
    max_bytes: Bytes = 1_000_000_000
    max_event_bytes: ResultBytes = 10_000_000


class AgentBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of ``POST`` and ``PUT``; ``PATCH`` takes any of it."""

    agent_id: str = ""
    name: Annotated[str, msgspec.Meta(max_length=200)] = ""
    description: Text = ""
    url: Url = ""
    replicas: Annotated[tuple[Url, ...], msgspec.Meta(max_length=100)] = ()
    model: Annotated[str, msgspec.Meta(max_length=200)] = ""
    card_url: Url = ""
    allowed_origins: Annotated[tuple[Url, ...], msgspec.Meta(max_length=100)] = ()
    protocol_version: Version | None = None
    binding: Binding | None = None
    capabilities: Names = ()
    card: dict[str, Any] = {}
    rewrite_card: bool = True
    signatures: Signatures = "if-present"
    signing_keys: Annotated[tuple[dict[str, Any], ...], msgspec.Meta(max_length=100)] = ()
    auth_type: AuthKind = "none"
    auth: AuthBody | None = None
    static_headers: Headers | None = None
    extra_headers: Names = ()
    push: Push = "pass"
    adds: tuple[Literal["streaming", "push", "list"], ...] = ("list",)
    public: bool = False
    access_groups: Names = ()
    allow_all_keys: bool = False
    timeout: Seconds = 300.0
    stream: StreamBody = StreamBody()
    max_result_bytes: ResultBytes = 10_000_000
    cost_per_message: Decimal = Decimal(0)
    health_check: bool = True
    metadata: dict[str, Any] = {}


def read_body(body: bytes, before: AgentSettings | None = None) -> AgentBody:
    """A body; where it is a change, with the members of ``before`` that it does not name.

    :raises InvalidRequest: it is not what the path takes
    """
    return registering.read(body, AgentBody, None if before is None else _body_of(before))


def settle(body: AgentBody, settings: A2aSettings, before: AgentSettings | None = None) -> AgentSettings:
    """The agent that a body asks for; of credentials that it does not give, those of ``before``.

    :raises InvalidRequest: there is something wrong with it
    """
    guard = Guard(settings.allowed_private)
    refuse(wrong_id(body.agent_id), "agent_id")
    _check_way(body, guard)
    kept = before if before is not None and _is_same_place(body, before) else None
    before_headers = {} if kept is None else kept.static_headers
    headers = settle_headers(body.static_headers, before_headers, body.extra_headers)
    check_cost(body.cost_per_message, "cost_per_message", "a message")
    for key in body.signing_keys:
        refuse(wrong_jwk(key), "signing_keys")
    before_auth = None if kept is None else kept.auth
    auth = settle_auth(body.auth_type, body.auth, before_auth, AuthSettings, partial(_oauth, guard))
    return AgentSettings(
        id=body.agent_id,
        name=body.name or body.agent_id,
        description=body.description,
        url=body.url,
        replicas=body.replicas,
        model=body.model,
        card_url=body.card_url,
        allowed_origins=body.allowed_origins,
        protocol_version=body.protocol_version,
        binding=body.binding,
        capabilities=body.capabilities,
        card=body.card,
        rewrites_card=body.rewrite_card,
        signatures=body.signatures,
        signing_keys=body.signing_keys,
        auth=auth,
        static_headers=headers,
        forward_headers=body.extra_headers,
        push=body.push,
        adds=body.adds,
        is_public=body.public,
        access_groups=body.access_groups,
        allow_all_keys=body.allow_all_keys,
        timeout=body.timeout,
        stream=_limits(body.stream),
        max_result_bytes=body.max_result_bytes,
        cost_usd=str(body.cost_per_message),
        health_check=body.health_check,
        metadata=body.metadata,
        source="api",
    )


def told(agent: AgentSettings, *, is_whole: bool) -> dict[str, Any]:
    """An agent as it is shown; ``is_whole`` to whoever may know where it is."""
    return {
        "agent_id": agent.id,
        "name": agent.name,
        "description": agent.description,
        # A query may hold a credential.
        "url": agent.url.partition("?")[0] if is_whole else "",
        "capabilities": list(agent.capabilities),
        "metadata": dict(agent.metadata),
        "access_groups": list(agent.access_groups),
        "allow_all_keys": agent.allow_all_keys,
        "public": agent.is_public,
    }


def told_in_full(agent: AgentSettings, *, is_whole: bool) -> dict[str, Any]:
    """The same with all that is said of one agent alone."""
    found = told(agent, is_whole=is_whole)
    if is_whole:
        body = msgspec.to_builtins(_body_of(agent), enc_hook=str)
        for name in ("replicas", "allowed_origins", "card_url"):
            body[name] = _without_queries(body[name])
        found |= {name: value for name, value in body.items() if name not in {"auth", "static_headers", *found}}
        found["static_headers"] = sorted(agent.static_headers)
    return found | {"auth_type": agent.auth.kind, "configured_in": agent.source}


def _without_queries(value: Any) -> Any:
    return value.partition("?")[0] if isinstance(value, str) else [one.partition("?")[0] for one in value]


def _body_of(agent: AgentSettings) -> AgentBody:
    """What would make the same agent, without what is secret."""
    return AgentBody(
        agent_id=agent.id,
        name=agent.name,
        description=agent.description,
        url=agent.url,
        replicas=agent.replicas,
        model=agent.model,
        card_url=agent.card_url,
        allowed_origins=agent.allowed_origins,
        protocol_version=agent.protocol_version,
        binding=agent.binding,
        capabilities=agent.capabilities,
        card=dict(agent.card),
        rewrite_card=agent.rewrites_card,
        signatures=agent.signatures,
        signing_keys=tuple(dict(key) for key in agent.signing_keys),
        auth_type=agent.auth.kind,
        extra_headers=agent.forward_headers,
        push=agent.push,
        adds=agent.adds,
        public=agent.is_public,
        access_groups=agent.access_groups,
        allow_all_keys=agent.allow_all_keys,
        timeout=agent.timeout,
        stream=StreamBody(
            idle_timeout=agent.stream.idle_seconds,
            timeout=agent.stream.total_seconds,
            max_bytes=agent.stream.max_bytes,
            max_event_bytes=agent.stream.max_event_bytes,
        ),
        max_result_bytes=agent.max_result_bytes,
        cost_per_message=Decimal(agent.cost_usd),
        health_check=agent.health_check,
        metadata=dict(agent.metadata),
    )


def _limits(body: StreamBody) -> StreamLimits:
    return StreamLimits(
        idle_seconds=body.idle_timeout,
        total_seconds=body.timeout,
        max_bytes=body.max_bytes,
        max_event_bytes=body.max_event_bytes,
    )


# -- what is refused --------------------------------------------------------------------------------------------------


def _check_way(body: AgentBody, guard: Guard) -> None:
    if body.model:
        refuse(wrong_model(body.model), "model")
        for name, value in (("url", body.url), ("replicas", body.replicas), ("card_url", body.card_url)):
            refuse("an agent that is a model has none" if value else None, name)
        return
    for name, url in _addresses(body):
        check_url(url, guard, name)


def _addresses(body: AgentBody) -> Iterator[tuple[str, str]]:
    """All that may be called, after the members' names."""
    yield "url", body.url
    if body.card_url:
        yield "card_url", body.card_url
    for one in body.replicas:
        yield "replicas", one
    for one in body.allowed_origins:
        yield "allowed_origins", one


# -- credentials ------------------------------------------------------------------------------------------------------


def _is_same_place(body: AgentBody, before: AgentSettings) -> bool:
    """Whether nobody else is called than before."""
    origins = {origin_of(url) for url in (body.url, *body.replicas)}
    return not body.model and origins <= {origin_of(url) for url in (before.url, *before.replicas)}


def _oauth(guard: Guard, auth: AuthBody) -> AuthSettings:
    # A card could name any place for the secret to go to.
    if auth.client_id is None or auth.client_secret is None or auth.token_url is None:
        raise InvalidRequest("auth: client_id, client_secret and token_url are needed", param="auth")
    check_url(auth.token_url, guard, "token_url")
    return AuthSettings(
        kind="oauth2",
        client_id=auth.client_id,
        client_secret=Secret(auth.client_secret),
        token_url=auth.token_url,
        scopes=auth.scopes,
    )
