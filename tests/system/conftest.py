from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from openai import AsyncOpenAI, OpenAI
from system.fakes.config import FAKES, providers_config
from system.process import Gateway
from system.upstream.server import FakeUpstream

MASTER_KEY = "sk-master-canary-41f0"
UPSTREAM_KEY = "sk-upstream-canary-93ab"


@dataclass(frozen=True)
class Canaries:
    """What no reply, log line or metric may hold."""

    master_key: str = MASTER_KEY
    upstream_key: str = UPSTREAM_KEY


CONFIG = """
model_list:
  - model_name: house-chat
    litellm_params: {{model: openai/gpt-4o, api_base: "{base}", api_key: {key}}}
    model_info: {{id: house-chat-1}}
  - model_name: house-images
    litellm_params: {{model: openai/gpt-image-1, api_base: "{base}", api_key: {key}}}
    model_info: {{mode: image_generation}}
  - model_name: house-moderation
    litellm_params: {{model: openai/omni-moderation-latest, api_base: "{base}", api_key: {key}}}
    model_info: {{mode: moderation}}
  - model_name: fake/*
    litellm_params: {{model: openai/*, api_base: "{base}", api_key: {key}}}
  - model_name: fake/inner-*
    litellm_params: {{model: openai/specific-*, api_base: "{base}", api_key: {key}}}
  - model_name: cohere-rerank
    litellm_params: {{model: cohere/rerank-v3.5, api_base: "http://{address}", api_key: {key}}}
  - model_name: jina-rerank
    litellm_params: {{model: jina_ai/jina-reranker-v2, api_base: "{base}", api_key: {key}}}
  - model_name: down
    litellm_params: {{model: openai/down, api_base: "http://127.0.0.1:{closed}/v1", api_key: {key}}}
  - model_name: impatient
    litellm_params: {{model: openai/impatient, api_base: "{base}", api_key: {key}, timeout: 0.3}}
  - model_name: impatient-stream
    litellm_params: {{model: openai/impatient-stream, api_base: "{base}", api_key: {key}, stream_timeout: 0.3}}
router_settings:
  num_retries: 0
  model_group_alias:
    house-alias: house-chat
    house-hidden: {{model: house-chat, hidden: true}}
general_settings:
  master_key: {master}
  max_request_size_mb: 8
"""


@pytest.fixture(scope="session")
def canaries() -> Canaries:
    return Canaries()


@pytest.fixture(scope="session")
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream() as server:
        yield server


@pytest.fixture(scope="session")
def closed_port() -> Iterator[int]:
    # Bound and not listening: nobody else gets the port, and connections to it are refused.
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


@pytest.fixture(scope="session")
def gateway(upstream: FakeUpstream, closed_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    config = CONFIG.format(
        base=upstream.base_url, address=upstream.address, key=UPSTREAM_KEY, master=MASTER_KEY, closed=closed_port
    )
    with Gateway(tmp_path_factory.mktemp("gateway"), config) as running:
        running.key = MASTER_KEY
        yield running


@pytest.fixture(scope="session")
def fakes() -> Iterator[Mapping[str, FakeUpstream]]:
    """A strict provider of each dialect."""
    with ExitStack() as stack:
        yield {name: stack.enter_context(FakeUpstream(answer)) for name, answer in FAKES.items()}


@pytest.fixture(scope="session")
def dialects(fakes: Mapping[str, FakeUpstream], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway before them."""
    config = providers_config({name: fake.address for name, fake in fakes.items()}, MASTER_KEY)
    with Gateway(tmp_path_factory.mktemp("dialects"), config) as running:
        running.key = MASTER_KEY
        yield running


@pytest.fixture
def client(gateway: Gateway) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{gateway.base_url}/v1", api_key=MASTER_KEY, max_retries=0, timeout=20) as sdk:
        yield sdk


@pytest.fixture
async def async_client(gateway: Gateway) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{gateway.base_url}/v1", api_key=MASTER_KEY, max_retries=0, timeout=20) as sdk:
        yield sdk
