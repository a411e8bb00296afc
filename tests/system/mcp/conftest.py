from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import pytest
from system.conftest import MASTER_KEY
from system.mcp.running import Everything, running_everything
from system.process import Gateway

KINDS: tuple[Everything, ...] = ("dual", "legacy", "modern")


def mcp_config(servers: Mapping[str, Mapping[str, Any]], *, is_open: bool, **settings: Any) -> str:
    """A config with these servers alone; JSON is YAML."""
    document = {
        "mcp_servers": servers,
        "mcp": {"allow_unauthenticated": is_open} | settings,
        "general_settings": {"master_key": MASTER_KEY},
    }
    return json.dumps(document)


@pytest.fixture(scope="session")
def everything_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[Everything, str]]:
    """The conformance server of each kind; their addresses."""
    home = tmp_path_factory.mktemp("everything")
    with ExitStack() as stack:
        yield {kind: stack.enter_context(running_everything(kind, home)) for kind in KINDS}


@pytest.fixture(scope="session")
def conforming(
    everything_servers: Mapping[Everything, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    """A gateway before them that wants no key: the suite has none."""
    servers = {
        str(kind): {"url": url, "transport": "http", "allow_all_keys": True} for kind, url in everything_servers.items()
    }
    with Gateway(tmp_path_factory.mktemp("conforming"), mcp_config(servers, is_open=True)) as running:
        running.key = MASTER_KEY
        yield running
