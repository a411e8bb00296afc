"""The conformance suite of MCP, which others have written, run through the gateway: every client over every server."""

from __future__ import annotations

from pathlib import Path

import pytest
from system.mcp.running import Everything
from system.mcp.suite import SCORED, Revision, run_server_suite
from system.process import Gateway

NO_SUCH_TOOL = {
    "server-stateless",
    "input-required-result-basic-elicitation",
    "input-required-result-basic-sampling",
    "input-required-result-basic-list-roots",
    "input-required-result-request-state",
    "input-required-result-multiple-input-requests",
    "input-required-result-multi-round",
    "input-required-result-non-tool-request",
    "input-required-result-result-type",
    "input-required-result-tampered-state",
    "input-required-result-capability-check",
}
"""They call tools and a prompt that the legacy conformance server does not have."""
ASKS_NO_MORE = {
    "tools-call-sampling",
    "tools-call-elicitation",
    "elicitation-sep1034-defaults",
    "elicitation-sep1330-enums",
}
"""They call tools that the modern conformance server has, but that ask by a request of the server all the same, which
its own revision does not know."""
CELLS: list[tuple[Revision, Everything, set[str]]] = [
    ("2025-11-25", "dual", set()),
    ("2026-07-28", "dual", set()),
    ("2025-11-25", "legacy", set()),
    ("2026-07-28", "legacy", NO_SUCH_TOOL),
    ("2025-11-25", "modern", ASKS_NO_MORE),
    ("2026-07-28", "modern", set()),
]


@pytest.mark.requirement("mcp.conformance")
@pytest.mark.parametrize(("revision", "kind", "cannot"), CELLS, ids=[f"{r} over {k}" for r, k, _ in CELLS])
def test_a_server_behind_the_gateway_passes_the_conformance_suite(
    revision: Revision, kind: Everything, cannot: set[str], conforming: Gateway, tmp_path: Path
) -> None:
    score = run_server_suite(f"{conforming.base_url}/mcp/{kind}", revision, tmp_path)
    assert score.failed == cannot, score.told
    assert len(score.passed) == SCORED[revision] - len(cannot)


@pytest.mark.requirement("mcp.conformance")
def test_scenarios_that_do_not_count_yet_pass_too(conforming: Gateway, tmp_path: Path) -> None:
    url = f"{conforming.base_url}/mcp/dual"
    legacy = run_server_suite(url, "2025-11-25", tmp_path)
    assert {"server-session-lifecycle", "json-schema-2020-12", "server-sse-polling"} <= legacy.unscored, legacy.told
    modern = run_server_suite(url, "2026-07-28", tmp_path)
    pending = {"json-schema-2020-12", "http-header-validation", "http-custom-header-server-validation"}
    assert pending <= modern.unscored, modern.told
