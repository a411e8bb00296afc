"""A gateway before three providers, and what is recorded of the traffic through it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from system.agents.upstream import PLAYERS, Provider, provider
from system.process import Gateway

GATEWAY_KEY = "sk-agents-gateway"
PROVIDER_KEY = "sk-agents-provider"

CONFIG = """
model_list:
  - model_name: anthropic/*
    litellm_params: {{model: anthropic/claude-sonnet-4-5, api_base: "{anthropic}", api_key: {key}}}
  - model_name: chat/*
    litellm_params: {{model: openai/some-model, api_base: "{chat}/v1", api_key: {key}}}
    model_info: {{mode: chat}}
  - model_name: responses/*
    litellm_params: {{model: openai/gpt-5, api_base: "{responses}/v1", api_key: {key}}}
    model_info: {{mode: responses}}
litellm_settings: {{drop_params: true}}
general_settings: {{master_key: {master}}}
"""

UNIQUE = re.compile(r"\b(fc|msg|rs|ctc|resp)_[0-9a-f]{24,}\b")
ECHOED = frozenset({"tools", "instructions", "tool_choice", "client_metadata"})
"""Members of a response that repeat the request."""


@contextmanager
def stage(home: Path) -> Iterator[tuple[Gateway, Mapping[str, Provider]]]:
    """The gateway, and its providers by dialect."""
    with ExitStack() as stack:
        providers = {dialect: stack.enter_context(provider(dialect, PROVIDER_KEY)) for dialect in PLAYERS}
        addresses = {dialect: one.address for dialect, one in providers.items()}
        config = CONFIG.format(key=PROVIDER_KEY, master=GATEWAY_KEY, **addresses)
        gateway = stack.enter_context(Gateway(home, config))
        gateway.key = GATEWAY_KEY
        yield gateway, providers


def exchanged(gateway: Gateway, one: Provider, sent: Mapping[str, Any]) -> dict[str, Any]:
    """What comes of a recorded request: what the provider was asked, and the reply."""
    reply = gateway.post(sent["path"], sent["request"], sent["headers"])
    assert reply.status == 200, reply.body
    asked = one.asked[-1]
    return {
        "dropped": reply.header("x-pointsman-dropped"),
        "beta": asked.headers.get("anthropic-beta"),
        "asked": asked.body,
        "reply": [_settled(event) for event in reply.events],
    }


def _settled(event: Any) -> Any:
    """An event without what differs from run to run, and what repeats the request."""
    if not isinstance(event, dict):
        return event
    settled: dict[str, Any] = json.loads(UNIQUE.sub(r"\1_0", json.dumps(event)))
    response = settled.get("response")
    if isinstance(response, dict):
        settled["response"] = {name: value for name, value in response.items() if name not in ECHOED} | {
            "created_at": 0
        }
    return settled
