from __future__ import annotations

import socket

import pytest

from pointsman.store.base import StoreDown
from pointsman.store.litellm import rows
from pointsman.wire.secret import Secret


async def test_a_database_that_cannot_be_reached_is_told_without_its_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    url = Secret(f"postgresql://user:pass-canary@127.0.0.1:{port}/litellm")
    with pytest.raises(StoreDown) as raised:
        [row async for row in rows(url, "LiteLLM_TeamTable")]
    assert "canary" not in str(raised.value)
    assert str(port) not in str(raised.value)
