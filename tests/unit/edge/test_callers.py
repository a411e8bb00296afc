from __future__ import annotations

from typing import Any

import pytest

from pointsman.access.caller import MASTER
from pointsman.edge.callers import find, identify, look
from pointsman.errors import Unauthenticated


def shown(key: str) -> dict[bytes, bytes]:
    return {b"authorization": b"Bearer " + key.encode()}


async def test_the_master_is_known_without_the_store_and_others_by_it(desk: Any) -> None:
    serving = desk.gateway.serving
    key = await desk.key(user_id="ann")
    assert look(serving, shown("sk-master-canary")) is MASTER
    found = await identify(serving, shown(key))
    assert found.user_id == "ann"
    assert look(serving, shown(key)) is found
    assert await find(serving, shown(key)) == found


async def test_others_are_nobody(desk: Any) -> None:
    for headers in ({}, shown("sk-unknown")):
        with pytest.raises(Unauthenticated):
            await identify(desk.gateway.serving, headers)
