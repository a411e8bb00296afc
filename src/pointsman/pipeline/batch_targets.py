"""Deployments whose provider runs whole batches."""

from __future__ import annotations

from collections.abc import Mapping

from pointsman.errors import ModelNotFound
from pointsman.pipeline.targets import Target
from pointsman.routing.candidates import Facts, fitting
from pointsman.routing.groups import Groups
from pointsman.wire.operations import Operation


class BatchTargets:
    """Those of one snapshot."""

    def __init__(self, groups: Groups, targets: Mapping[str, Target], *, has_tag_filtering: bool) -> None:
        """``targets`` are by deployment id."""
        self._groups = groups
        self._targets = targets
        self._has_tag_filtering = has_tag_filtering

    def choose(self, model: str, operation: Operation) -> Target | None:
        """Who runs batches for a public model, of requests that say nothing of who is to answer them.

        ``None``: nobody.
        """
        try:
            group = self._groups.match(model).group
        except ModelNotFound:
            return None
        # Also those that get no requests.
        there = [one for one in self._groups.members.values() if one.deployment.model_name == group.name]
        facts = Facts(tags=() if self._has_tag_filtering else None)
        members = () if group.is_routed else fitting(there, facts, {})
        found = (self._targets[member.deployment.id] for member in members)
        return next((one for one in found if one.runs_batches(operation)), None)

    def find(self, place: str, deployment_id: str, credential: str) -> Target | None:
        """Who leads to what runs a batch already: that deployment, or after a change of it one of the same place.

        Of these one with the same ``credential``, as its digest, goes first, then one that runs batches.
        """

        def rank(one: Target) -> tuple[bool, bool, bool]:
            deployment = one.deployment
            return deployment.id != deployment_id, one.credential_digest != credential, not deployment.runs_batches

        return min((one for one in self._targets.values() if one.batch_place == place), key=rank, default=None)
