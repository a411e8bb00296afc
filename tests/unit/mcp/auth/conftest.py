from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from unit.mcp.auth.authorities import World


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    yield made
    await made.tasks.close(1.0)
