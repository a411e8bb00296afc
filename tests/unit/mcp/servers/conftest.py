from __future__ import annotations

import logging
from collections.abc import AsyncIterator

import pytest

from pointsman.mcp.servers import pauses, probing
from pointsman.telemetry.tasks import Tasks


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pauses."""
    monkeypatch.setattr(pauses, "FIRST_SECONDS", 0.0)
    monkeypatch.setattr(probing, "PROBE_SECONDS", 0.05)


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    found = Tasks(logging.getLogger("test"), 100)
    yield found
    assert await found.close(5) == []
