"""What a handler works with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from pointsman.access.caller import Gatekeeper
from pointsman.edge.accounts import Accounts
from pointsman.edge.exchange import VERSION_LINE, Exchange
from pointsman.pipeline.catalog import Catalog
from pointsman.pipeline.health import HealthCheck
from pointsman.pipeline.idempotency import IdempotencyLedger
from pointsman.pipeline.serve import Pipeline
from pointsman.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from pointsman.edge.a2a import A2a
    from pointsman.edge.batches import BatchWork
    from pointsman.edge.files import FileAccess
    from pointsman.edge.mcp import Mcp
    from pointsman.pipeline.decisions import Decisions
    from pointsman.pipeline.explaining import Explaining
    from pointsman.pipeline.known_tokens import Tokens


class Reloading(Protocol):
    """What puts another snapshot in the place of this one. The bodies are those of the endpoints."""

    async def reload(self, who: str, *, has_to_fetch: bool = False) -> Mapping[str, Any]: ...
    async def reload_routers(self, who: str, strategy: str | None, *, has_to_fetch: bool = False) -> Mapping[str, Any]:
        """Read checkpoints again."""

    async def rollback(self, who: str) -> Mapping[str, Any]: ...
    def status(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """One snapshot, made ready to serve. A request keeps the one it began with."""

    snapshot_number: int
    gatekeeper: Gatekeeper
    is_metrics_public: bool
    pipeline: Pipeline
    catalog: Catalog
    health: HealthCheck
    metrics: Metrics
    ledger: IdempotencyLedger
    version_line: bytes = VERSION_LINE
    """Reply header lines that tell who answers."""
    reloading: Reloading | None = None
    """``None``: there is no way to another snapshot."""
    explaining: Explaining | None = None
    """``None``: no model is chosen for each prompt."""
    decisions: Decisions | None = None
    """The same."""
    accounts: Accounts = field(default_factory=Accounts)
    """Virtual keys, as soon as anybody has made one."""
    tokens: Tokens | None = None
    """``None``: tokens of identity providers let nobody in."""
    mcp: Mcp | None = None
    """``None``: the MCP gateway is switched off."""
    a2a: A2a | None = None
    """``None``: the A2A gateway is switched off."""
    batches: BatchWork | None = None
    """``None``: there are none."""
    files: FileAccess | None = None
    """``None``: there is no place for any."""
    is_ready: bool = True
    """What the readiness probe says: false as soon as load balancers should look elsewhere."""


Handler = Callable[[Serving, Exchange, Mapping[str, str]], Awaitable[None]]
"""Answers one exchange; the mapping holds what the path's ``{names}`` stand for."""
