from __future__ import annotations

import pytest

from pointsman.access.caller import NOBODY
from pointsman.mcp.auth.static import Static
from pointsman.mcp.settings import AuthSettings
from pointsman.wire.secret import Secret


@pytest.mark.parametrize(
    ("auth", "lines"),
    [
        (AuthSettings(kind="bearer_token", value=Secret("canary")), {"authorization": "Bearer canary"}),
        (AuthSettings(kind="api_key", value=Secret("canary")), {"x-api-key": "canary"}),
        (AuthSettings(kind="api_key", header="X-Token", value=Secret("canary")), {"x-token": "canary"}),
    ],
)
async def test_what_the_operator_has_given_is_shown_in_its_header(auth: AuthSettings, lines: dict[str, str]) -> None:
    assert await Static(auth).lines(NOBODY) == lines


async def test_there_is_no_other_one() -> None:
    assert not await Static(AuthSettings(kind="bearer_token", value=Secret("canary"))).renew(NOBODY, 401, "Bearer")
