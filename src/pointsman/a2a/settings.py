"""What an operator, or a client of the registry, can say about agents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal
from urllib.parse import parse_qsl, urlsplit

import msgspec

from pointsman.a2a.protocol.operations import Binding, Version
from pointsman.wire.secret import Secret, texts_named_so

AuthKind = Literal["none", "api_key", "bearer_token", "oauth2"]
Signatures = Literal["off", "if-present", "require"]
Push = Literal["off", "pass", "relay"]
CardForm = Literal["hybrid", "1.0", "0.3"]
SHORTEST_SECRET: Final = 8
"""Characters of what is hidden wherever it stands; what is shorter could be any word."""


class AuthSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the gateway shows who it is to an agent."""

    kind: AuthKind = "none"
    header: str = "x-api-key"
    """Of ``api_key``."""
    value: Secret | None = None
    """The key, or the token."""
    client_id: str | None = None
    client_secret: Secret | None = None
    token_url: str | None = None
    scopes: tuple[str, ...] = ()


class StreamLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of one stream of events."""

    idle_seconds: float = 600.0
    """Without any event of the agent's."""
    total_seconds: float = 86_400.0
    max_bytes: int = 1_000_000_000
    max_event_bytes: int = 10_000_000


class AgentSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One agent."""

    id: str
    name: str
    description: str = ""
    url: str = ""
    """Where it is; its origin is the only one that gets its credential. Empty where ``model`` is set."""
    replicas: tuple[str, ...] = ()
    """More addresses of the same agent: a task stays with the one that has begun it."""
    model: str = ""
    """A model group that is published as an agent, instead of an address."""
    card_url: str = ""
    """Where its card is; empty: at the places where cards usually are."""
    allowed_origins: tuple[str, ...] = ()
    """Others that interfaces of its card may have; they never get its credential."""
    protocol_version: Version | None = None
    """Spoken with it; ``None``: as its card says, and as it behaves."""
    binding: Binding | None = None
    capabilities: tuple[str, ...] = ()
    """As the registry's clients name them: skills and tags, not the capabilities of a card."""
    card: Mapping[str, Any] = {}
    """Members that replace those of its card, in the form of version 1.0."""
    rewrites_card: bool = True
    """Whether its card is served with the gateway's addresses; else the bytes are passed on."""
    signatures: Signatures = "if-present"
    signing_keys: tuple[Mapping[str, Any], ...] = ()
    """JSON Web Keys that its card may be signed with; empty: those of an allowed ``jku``."""
    auth: AuthSettings = AuthSettings()
    static_headers: Mapping[str, str] = {}
    forward_headers: tuple[str, ...] = ()
    push: Push = "pass"
    adds: tuple[Literal["streaming", "push", "list"], ...] = ("list",)
    """What the gateway does for it where it cannot do so itself."""
    is_public: bool = False
    """Whether clients need no key."""
    access_groups: tuple[str, ...] = ()
    allow_all_keys: bool = False
    timeout: float = 300.0
    """Seconds that an answer may take which is not streamed."""
    stream: StreamLimits = StreamLimits()
    max_result_bytes: int = 10_000_000
    cost_usd: str = "0"
    """Dollars a message, as a decimal."""
    health_check: bool = True
    allow_private: bool = False
    """Whether its address may be one of a private network; always so for those of the config file."""
    metadata: Mapping[str, Any] = {}
    source: Literal["config", "api"] = "config"


class A2aSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The A2A gateway."""

    is_enabled: bool = True
    agents: tuple[AgentSettings, ...] = ()
    public_url: str = ""
    """Where clients find the gateway; empty: where the client has found it."""
    card_form: CardForm = "hybrid"
    """Of a card when the client does not say which version it speaks."""
    default_agent: str = ""
    """Whose card stands at the root of the host; empty: nobody's."""
    hosts: Mapping[str, str] = {}
    """By host name: whose card stands at its root."""
    allowed_hosts: tuple[str, ...] = ()
    """What may stand in ``Host`` where clients need no key, beside the names of this machine for itself."""
    allowed_private: tuple[str, ...] = ()
    """Networks and host names that agents of the registry, and webhooks, may be in although they are private."""
    allowed_key_urls: tuple[str, ...] = ()
    """From where keys for signatures of cards may be loaded."""
    signing_key: Secret | None = None
    """A private key (PEM, P-256) with which served cards are signed."""
    task_owner: Literal["key", "user", "team"] = "key"
    """Who shares tasks."""
    task_days: int = 30
    """How long ended tasks are remembered."""
    ping_seconds: float = 15.0
    max_streams: int = 10_000
    public_rpm: int | None = None
    """Calls a minute that all clients without a key may make of one agent together; ``None``: any number."""
    card_seconds: float = 300.0
    """Until a card is looked at again, where it does not say so itself."""
    as_mcp_tools: bool = False
    """Whether clients of MCP find them as tools of a server ``agents``."""
    health_seconds: float = 60.0
    """Between two looks at an agent."""

    def secrets(self) -> Iterator[str]:
        """What nobody is to read in a log."""
        if self.signing_key is not None:
            yield self.signing_key.reveal()
        for agent in self.agents:
            yield from secrets_of(agent)


def secrets_of(agent: AgentSettings) -> Iterator[str]:
    """The same of one agent."""
    for secret in (agent.auth.value, agent.auth.client_secret):
        if secret is not None:
            yield secret.reveal()
    yield from texts_named_so(agent.static_headers)
    # A query may hold a credential.
    for url in (agent.url, *agent.replicas, agent.card_url):
        yield from (value for _, value in parse_qsl(urlsplit(url).query) if len(value) >= SHORTEST_SECRET)
