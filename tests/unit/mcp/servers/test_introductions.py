from __future__ import annotations

import pytest
from msgspec import Raw

from pointsman.errors import UpstreamBroken
from pointsman.mcp.servers.introductions import of_discover, of_initialize
from pointsman.wire.jsonrpc import raw


def test_a_legacy_server_introduces_itself() -> None:
    result = raw(
        {
            "protocolVersion": "2025-06-18",
            "capabilities": {"tools": {"x": 1}},
            "serverInfo": {"name": "a", "vendor": 1},
            "instructions": "do",
            "more": 1,
        }
    )
    found = of_initialize(result, has_session=True)
    assert (found.era, found.revision, found.instructions, found.has_session) == ("legacy", "2025-06-18", "do", True)
    assert found.capabilities == {"tools": {"x": 1}}
    assert found.info == {"name": "a", "vendor": 1}
    assert found.raw is result


@pytest.mark.parametrize("result", [b"{}", b"[]", b'{"protocolVersion":"2026-07-28"}', b'{"protocolVersion":1}'])
def test_what_is_no_introduction_of_a_known_revision_is_a_failure(result: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        of_initialize(Raw(result), has_session=False)


def test_a_modern_server_introduces_itself() -> None:
    result = raw(
        {
            "supportedVersions": ["2099-01-01", "2026-07-28", "2025-11-25"],
            "capabilities": {"tools": {}},
            "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "a"}},
        }
    )
    found = of_discover(result)
    assert found is not None
    assert (found.era, found.revision, found.info, found.has_session) == ("modern", "2026-07-28", {"name": "a"}, False)
    assert found.capabilities == {"tools": {}}


@pytest.mark.parametrize("result", [b"{}", b"[]", b'{"supportedVersions":["2025-11-25"]}', b'{"supportedVersions":1}'])
def test_a_server_without_a_modern_revision_is_none(result: bytes) -> None:
    assert of_discover(Raw(result)) is None
