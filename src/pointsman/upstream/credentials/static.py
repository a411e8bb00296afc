"""A key or a token that the operator has given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pointsman.wire.secret import Secret


class Static:
    """The same header for everybody: a :class:`~pointsman.upstream.addresses.Credential`."""

    def __init__(self, kind: Literal["api_key", "bearer_token"], header: str, secret: Secret | None) -> None:
        """``header`` is that of a key; a token has its own."""
        value = "" if secret is None else secret.reveal()
        is_token = kind == "bearer_token"
        self._lines = {"authorization": f"Bearer {value}"} if is_token else {header.lower(): value}

    async def lines(self, caller: object) -> Mapping[str, str]:  # noqa: ARG002
        """See :class:`~pointsman.upstream.addresses.Credential`."""
        return self._lines

    async def renew(self, caller: object, status: int, challenge: str) -> bool:  # noqa: ARG002
        """There is no other one."""
        return False
