"""A key or a token that the operator has given."""

from __future__ import annotations

from collections.abc import Mapping

from pointsman.access.caller import Caller
from pointsman.mcp.settings import AuthSettings


class Static:
    """The same header for everybody."""

    def __init__(self, auth: AuthSettings) -> None:
        value = "" if auth.value is None else auth.value.reveal()
        is_token = auth.kind == "bearer_token"
        self._lines = {"authorization": f"Bearer {value}"} if is_token else {auth.header.lower(): value}

    async def lines(self, caller: Caller) -> Mapping[str, str]:  # noqa: ARG002
        """See :class:`~pointsman.mcp.base.Credential`."""
        return self._lines

    async def renew(self, caller: Caller, status: int, challenge: str) -> bool:  # noqa: ARG002
        """There is no other one."""
        return False
