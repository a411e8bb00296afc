"""What the fronts need of the gateway behind them."""

from __future__ import annotations

from typing import Protocol

from msgspec import Raw

from pointsman.access.caller import Caller
from pointsman.mcp.base import Asking, Client, Interest, Introduction, Scope, Sink, Watch


class Gateway(Protocol):
    """Answers requests of clients of any era."""

    def scope(self, caller: Caller, path_id: str | None, header: str | None) -> Scope:
        """:raises Unseen: there is no such server for this caller"""

    async def introduce(self, scope: Scope, client: Client) -> Introduction:
        """What a client is to be told of the servers."""

    async def call(self, scope: Scope, method: str, params: Raw, asking: Asking) -> Raw:
        """:raises RpcError: the failure of a server; GatewayErrors are the gateway's"""

    async def notify(self, scope: Scope, client: Client, method: str, params: Raw) -> None:
        """Pass on what a client announces."""

    def watch(self, scope: Scope, client: Client, interest: Interest, sink: Sink) -> Watch:
        """Have ``sink`` told of changes."""

    async def end(self, client: Client) -> None:
        """The session of a client is over."""
