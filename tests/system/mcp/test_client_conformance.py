"""The other half of the conformance suite: it is the server, and the gateway is its client, on behalf of a user."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from system.conftest import MASTER_KEY
from system.mcp.conftest import mcp_config
from system.mcp.installing import FOLDER, venv
from system.mcp.suite import CLIENT_SCORED, Revision, run_suite
from system.process import Gateway

CLIENT_METADATA = "https://conformance-test.local/client-metadata.json"
"""That the suite's authorization servers know."""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    here = ["localhost", "127.0.0.0/8", "::1"]
    config = mcp_config({}, is_open=False, allowed_private=here, client_metadata_url=CLIENT_METADATA)
    with Gateway(tmp_path_factory.mktemp("client"), config) as running:
        running.key = MASTER_KEY
        yield running


@pytest.mark.requirement("mcp.conformance.client")
@pytest.mark.parametrize("revision", CLIENT_SCORED)
def test_the_gateway_is_a_client_that_conforms(
    revision: Revision, gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POINTSMAN_URL", gateway.base_url)
    monkeypatch.setenv("POINTSMAN_KEY", MASTER_KEY)
    monkeypatch.setenv("POINTSMAN_TURNS", str(tmp_path / "turns"))
    command = f"{venv('sdk-2')} {FOLDER / 'clients' / 'driver.py'}"
    score = run_suite("client", revision, ["--command", command, "--timeout", "180000"], tmp_path)
    assert not score.failed, score.told
    assert len(score.passed) == CLIENT_SCORED[revision]
