"""The tables of ``agents`` and ``a2a``: which agents there are, and how they are offered to clients."""

from __future__ import annotations

from typing import Any

from pointsman.config.kinds import (
    FLAG,
    HEADER_NAME,
    HEADERS,
    LIST,
    OBJECT,
    SECONDS,
    SECRET,
    TEXT,
    TEXTS,
    USD,
    Kind,
    Mismatch,
    mapping_to,
    number,
    one_of,
    whole,
)
from pointsman.config.tables import Section, pending_rows, row
from pointsman.wire.secret import Secret

AUTH_TYPES = ("none", "api_key", "bearer_token", "oauth2")
BINDINGS = {"jsonrpc": "jsonrpc", "http+json": "rest", "rest": "rest"}
SIGNATURES = {name: name for name in ("off", "if-present", "require")}
PUSHES = {name: name for name in ("off", "pass", "relay")}
OWNERS = {name: name for name in ("key", "user", "team")}
ADDED = ("streaming", "push", "list")
VERSIONS = ("1.0", "0.3")
MAX_PEM = 16_384


def _version(*others: str) -> Kind:
    """A version of the protocol, which YAML takes for a number, or one of other words; a patch does not count."""

    def read(value: Any) -> str:
        text = str(value).strip() if isinstance(value, int | float | str) and not isinstance(value, bool) else ""
        text = "1.0" if text == "1" else ".".join(text.split(".")[:2])
        if text not in (*VERSIONS, *others):
            raise Mismatch(f"must be {words}")
        return text

    words = " or ".join((*others, *VERSIONS))
    return Kind(words=words, read=read, schema={"anyOf": [{"enum": [*others, *VERSIONS, 1, 0.3]}, {"type": "string"}]})


def _pem(value: Any) -> Secret:
    # A variable often holds it in one line.
    text = value.strip().replace("\\n", "\n") if isinstance(value, str) else ""
    if "-----BEGIN" not in text or len(text) > MAX_PEM:
        raise Mismatch(f"must be {PEM.words}")
    return Secret(text)


PEM = Kind(words="a private key in PEM, such as os.environ/A2A_SIGNING_KEY", read=_pem, schema={"type": "string"})

LITELLM_CARD = Section(
    name="agent_card_params",
    about="An agent as LiteLLM has it: its address, and what it says of itself instead of its own card.",
    keys=(
        row("url", TEXT, "Its address, where it has no other url."),
        row("name", TEXT, "Its name for people."),
        row("description", TEXT, "What it is for."),
    ),
    unknown="keep",
)

LITELLM_PARAMS = Section(
    name="agent_litellm_params",
    about="More of an agent, as LiteLLM has it.",
    keys=(
        row("is_public", FLAG, "The same as public."),
        row("make_public", FLAG, "The same as public."),
        row("cost_per_query", USD, "The same as cost_per_message."),
    ),
    unknown="keep",
)

STREAM = Section(
    name="stream",
    about="Bounds of one stream of events.",
    keys=(
        row("idle_timeout", SECONDS, "Seconds without any event of the agent. Default: 600."),
        row("timeout", number(0, 30 * 86_400, above=True), "Seconds in all. Default: 86400."),
        row("max_bytes", whole(1024, 1 << 40), "Bytes in all. Default: 1000000000."),
        row("max_event_bytes", whole(1024, 1 << 30), "Bytes of one event. Default: 10000000."),
    ),
)

AGENT = Section(
    name="agents",
    about="An agent.",
    keys=(
        row("agent_id", TEXT, "Its id, in paths and grants. Default: its name."),
        row("agent_name", TEXT, "The same as name."),
        row("name", TEXT, "Its name for people. Default: its id."),
        row("description", TEXT, "What it is for."),
        row("enabled", FLAG, "false: it is as if it did not stand here."),
        row("url", TEXT, "Its address. Nobody else gets its credential."),
        row("replicas", TEXTS, "More addresses of the same agent; a task stays where it has begun."),
        row("model", TEXT, "A model group that is offered as an agent, instead of an address."),
        row("card_url", TEXT, "Where its card is. Default: where cards usually are."),
        row("allowed_origins", TEXTS, "Other places that its card may name; they never get its credential."),
        row("protocol_version", _version("auto"), "The version that is spoken with it, or auto. Default: auto."),
        row("binding", one_of(BINDINGS), "How it is spoken to. Default: as its card says."),
        row("capabilities", TEXTS, "What it can do, as skills and tags."),
        row("card", OBJECT, "Members that replace those of its card, in the form of version 1.0."),
        row("rewrite_card", FLAG, "false: its card is passed on as it is, with its own addresses."),
        row("signatures", one_of(SIGNATURES), "Whether its card has to be signed. Default: if-present."),
        row("signing_keys", LIST, "JSON Web Keys that its card may be signed with."),
        row("auth_type", TEXT, "How the gateway shows who it is.", choices=AUTH_TYPES),
        row("auth_value", SECRET, "The key or the token."),
        row("auth_header", HEADER_NAME, "The header of auth_type api_key. Default: x-api-key."),
        row("client_id", TEXT, "Of auth_type oauth2."),
        row("client_secret", SECRET, "Of auth_type oauth2."),
        row("token_url", TEXT, "Where tokens are made, for auth_type oauth2."),
        row("scopes", TEXTS, "What tokens are asked for."),
        row("static_headers", HEADERS, "Headers of each request to it."),
        row("extra_headers", TEXTS, "Names of the client's headers that it is shown."),
        row("push", one_of(PUSHES), "Whether it calls webhooks itself, or the gateway does (relay). Default: pass."),
        row("adds", TEXTS, "What the gateway does where it cannot: streaming, push, list. Default: list."),
        row("public", FLAG, "Whether clients need no key."),
        row("access_groups", TEXTS, "Groups that keys and teams are granted."),
        row("allow_all_keys", FLAG, "Whether every key may ask it."),
        row("timeout", SECONDS, "Seconds of an answer that is not streamed. Default: 300."),
        row(STREAM.name, OBJECT, STREAM.about, holds="one", section=STREAM.name),
        row("max_result_bytes", whole(1024, 1 << 30), "Bytes of an answer that is not streamed. Default: 10000000."),
        row("cost_per_message", USD, "US dollars of a message."),
        row("health_check", FLAG, "Whether its card is looked at now and then. Default: true."),
        row("metadata", OBJECT, "Anything; it is told at /a2a/agents."),
        row(LITELLM_CARD.name, OBJECT, LITELLM_CARD.about, holds="one", section=LITELLM_CARD.name),
        row("litellm_params", OBJECT, LITELLM_PARAMS.about, holds="one", section=LITELLM_PARAMS.name),
        *pending_rows(
            (
                "object_permission",
                "tpm_limit",
                "rpm_limit",
                "session_tpm_limit",
                "session_rpm_limit",
                "identity",
                "execution_mode",
                "access_group_ids",
                "kill_switch",
            )
        ),
    ),
)

A2A = Section(
    name="a2a",
    about="How agents are offered to clients.",
    keys=(
        row("enabled", FLAG, "false: nothing below /a2a answers. Default: A2A_GATEWAY_ENABLED, or true."),
        row("public_url", TEXT, "Where clients find the gateway, which cards say. Default: where the client did."),
        row("card_form", _version("hybrid"), "The form of cards for clients that name no version. Default: hybrid."),
        row("default_agent", TEXT, "The agent whose card stands at the root of the host."),
        row("hosts", mapping_to({"type": "string"}), "By host name: the same."),
        row("allowed_hosts", TEXTS, "Names that clients without a key may call by, besides those of this machine."),
        row("allowed_private", TEXTS, "Private networks and hosts that registered agents and webhooks may be in."),
        row("allowed_key_urls", TEXTS, "From where keys for signatures of cards may be loaded."),
        row("signing_key", PEM, "A private key (PEM, P-256) with which cards are signed."),
        row("task_owner", one_of(OWNERS), "Who shares tasks: a key, a user or a team. Default: key."),
        row("task_days", whole(1, 3650), "Days that ended tasks are remembered. Default: 30."),
        row("ping_interval", SECONDS, "Seconds between two signs of life in a stream. Default: 15."),
        row("max_streams", whole(1), "Streams of clients at a time. Default: 10000."),
        row("public_rpm", whole(1), "Calls a minute of all clients without a key to one public agent. Default: any."),
        row("card_ttl", SECONDS, "Seconds until a card is looked at again that does not say so itself. Default: 300."),
        row("as_mcp_tools", FLAG, "Whether agents are tools of the MCP server agents too. Default: false."),
        row("health_interval", SECONDS, "Seconds between two looks at an agent. Default: 60."),
    ),
)
AGENTS_ROW = row(AGENT.name, LIST, "Agents.", holds="list", section=AGENT.name)
AGENT_LIST_ROW = row("agent_list", LIST, "The same as agents, which go before it.", holds="list", section=AGENT.name)
A2A_ROW = row(A2A.name, OBJECT, A2A.about, holds="one", section=A2A.name)
SECTIONS = (A2A, AGENT, STREAM, LITELLM_CARD, LITELLM_PARAMS)
