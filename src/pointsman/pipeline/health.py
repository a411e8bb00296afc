"""Whether upstreams answer: the live check behind ``GET /health``."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pointsman.errors import GatewayError
from pointsman.pipeline.targets import Target
from pointsman.routing.groups import Group, Groups
from pointsman.upstream.credentials.signed import Signed
from pointsman.upstream.settings import Timeouts

if TYPE_CHECKING:
    from pointsman.pipeline.routed import RoutedModel

AT_ONCE = 8
PROBE_TIMEOUTS = Timeouts(connect=3.0, first_byte=5.0, idle=5.0, total=8.0)
REFUSED = frozenset({401, 403})
PROBE_BODY_BYTES = 4 * 1024 * 1024


class HealthCheck:
    """Asks each deployment for its list of models, the cheapest question that needs the credential.

    An upstream is healthy when it answers that and does not refuse the credential; one that has no such list (404)
    is healthy too, and so is a cloud that gives a credential.
    """

    def __init__(
        self, groups: Groups, targets: Mapping[str, Target], routed: Mapping[str, RoutedModel] | None = None
    ) -> None:
        """``routed`` are models that are chosen for each prompt, by name."""
        self._groups = groups
        self._targets = targets
        self._routed = {} if routed is None else routed
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def run(self, model: str | None) -> dict[str, Any]:
        """Check the deployments of ``model`` (any name that can be called), or all. In LiteLLM's shape.

        :raises ModelNotFound: nothing answers to ``model``
        """
        if model is None:
            chosen = list(self._targets.values())
        else:
            chosen = [self._targets[ident] for ident in self._ids(self._groups.match(model).group)]
        outcomes = await asyncio.gather(*(self._check(target) for target in chosen))
        pairs = list(zip(chosen, outcomes, strict=True))
        healthy = [_entry(target) for target, problem in pairs if problem is None]
        unhealthy = [_entry(target) | {"error": problem} for target, problem in pairs if problem is not None]
        return {
            "healthy_endpoints": healthy,
            "unhealthy_endpoints": unhealthy,
            "healthy_count": len(healthy),
            "unhealthy_count": len(unhealthy),
        }

    def _ids(self, group: Group) -> Iterable[str]:
        """Of deployments that may answer for the group; for a routed model those of its candidates do."""
        if group.deployments or group.name not in self._routed:
            return [one.id for one in group.deployments]
        return self._routed[group.name].lineup.by_deployment

    async def _check(self, target: Target) -> str | None:
        head = target.probe_head()
        async with self._slots:
            try:
                if head is None:
                    await self._check_credential(target)
                    return None
                response = await target.upstream.send(head, b"", timeouts=PROBE_TIMEOUTS)
                try:
                    await response.read(PROBE_BODY_BYTES)
                finally:
                    response.abort()
            except GatewayError as error:
                return error.message
            except TimeoutError:
                return "The provider of the credential did not answer in time"
        if response.status in REFUSED:
            return f"The provider refused the credential (status {response.status})"
        if response.status >= 500:
            return f"The provider answered with status {response.status}"
        return None

    async def _check_credential(self, target: Target) -> None:
        """Of a cloud, whose lists of models are elsewhere, only see that it gives a credential."""
        if isinstance(target.upstream, Signed):
            async with asyncio.timeout(PROBE_TIMEOUTS.total):
                await target.upstream.authorize(b"GET", b"/", b"")


def _entry(target: Target) -> dict[str, Any]:
    deployment = target.deployment
    return {
        "model": f"{deployment.vendor.name}/{deployment.upstream_model}",
        "model_name": deployment.model_name,
        "model_id": deployment.id,
        "api_base": deployment.base_url,
    }
