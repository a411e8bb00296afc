"""Model groups: all deployments that answer to one public name, found by name, alias or pattern."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

import msgspec

from pointsman.errors import InvalidRequest, ModelNotFound, NoDeployment
from pointsman.providers.base import Deployment
from pointsman.routing.settings import RoutingSettings
from pointsman.wire.operations import Operation


class Group:
    """Deployments that are interchangeable for the caller."""

    __slots__ = ("_bounds", "_preferred", "deployments", "name", "prefix", "suffix")

    def __init__(self, name: str, deployments: Sequence[Deployment]) -> None:
        self.name = name
        self.deployments = tuple(deployments)
        self.prefix, _, self.suffix = name.partition("*")
        first = min((d.order for d in deployments), default=1)
        self._preferred = [d for d in deployments if d.order == first]
        self._bounds = list(accumulate(shares(self._preferred)))

    def capture(self, model: str) -> str | None:
        """What ``*`` of the pattern stands for in ``model``, or ``None`` where it does not match."""
        if (
            len(model) >= len(self.prefix) + len(self.suffix)
            and model.startswith(self.prefix)
            and model.endswith(self.suffix)
        ):
            return model[len(self.prefix) : len(model) - len(self.suffix) or None]
        return None

    def draw(self, chance: float) -> Deployment:
        """One deployment of the lowest ``order``, by weight; ``chance`` is uniform in [0, 1).

        :raises NoDeployment: the group is empty
        """
        preferred = self._preferred
        if len(preferred) == 1:
            return preferred[0]
        if not preferred:
            raise NoDeployment(f"No deployment of the model {self.name!r} can be used")
        at = bisect_right(self._bounds, chance * self._bounds[-1])
        return preferred[min(at, len(preferred) - 1)]


def shares(deployments: Sequence[Deployment]) -> list[float]:
    """How much of the traffic each takes, as ``simple-shuffle`` has it: by weight, else rpm, else tpm, else alike."""
    for attribute in ("weight", "rpm", "tpm"):
        values = [getattr(d, attribute) for d in deployments]
        if any(values):
            return [float(v or 0) for v in values]
    return [1.0] * len(deployments)


class Match(msgspec.Struct, frozen=True):
    """A model name that was understood."""

    group: Group
    captured: str | None
    """What the ``*`` of a wildcard group stands for."""


class Groups:
    """Every public name of a snapshot. The most specific answer wins: name, alias, deployment id, longest pattern."""

    def __init__(self, deployments: Iterable[Deployment], settings: RoutingSettings) -> None:
        by_name: dict[str, list[Deployment]] = {}
        by_id: dict[str, Group] = {}
        for deployment in deployments:
            by_name.setdefault(deployment.model_name, []).append(deployment)
            by_id[deployment.id] = Group(deployment.model_name, [deployment])
        groups = {name: Group(name, members) for name, members in by_name.items()}
        self._settings = settings
        self._by_name = groups
        self._by_id = by_id
        self._known: dict[str, Match] = {}
        self._patterns = sorted(
            (g for g in groups.values() if "*" in g.name),
            key=lambda g: len(g.prefix) + len(g.suffix),
            reverse=True,
        )

    def __iter__(self) -> Iterator[Group]:
        return iter(self._by_name.values())

    @property
    def names(self) -> list[str]:
        """Public names, visible aliases included, patterns as they are written."""
        aliases = [name for name, alias in self._settings.aliases.items() if not alias.is_hidden]
        return list(dict.fromkeys([*self._by_name, *aliases]))

    def match(self, model: str) -> Match:
        """The group that answers to ``model``.

        :raises ModelNotFound: no name, alias or pattern fits
        """
        known = self._known.get(model)
        if known is not None:
            return known
        if (group := self._by_name.get(model)) is not None and "*" not in model:
            # Only what is configured comes here, so this is as bounded as the configuration.
            return self._known.setdefault(model, Match(group, None))
        alias = self._settings.aliases.get(model)
        if alias is not None and (found := self._without_alias(alias.model)) is not None:
            return self._known.setdefault(model, found)
        if (found := self._without_alias(model)) is not None:
            return found
        raise ModelNotFound(
            f"The model {model[:200]!r} does not exist or you do not have access to it; "
            "GET /v1/models lists what can be used",
            param="model",
        )

    def _without_alias(self, model: str) -> Match | None:
        if "*" in model:
            # A pattern is not a model: what it stands for would be missing.
            return None
        group = self._by_name.get(model) or self._by_id.get(model)
        if group is not None and "*" not in group.name:
            return Match(group, None)
        for pattern in self._patterns:
            captured = pattern.capture(model)
            if captured:
                return Match(pattern, captured)
        return None

    def for_operation(self, operation: Operation) -> Match:
        """The group that serves a request which names no model: the first whose ``mode`` fits.

        :raises InvalidRequest: none does
        """
        for group in self._by_name.values():
            if "*" not in group.name and any(d.mode == operation.mode for d in group.deployments):
                return Match(group, None)
        raise InvalidRequest(
            f"The request names no model and no deployment has mode {operation.mode!r}; "
            "name a model, or set model_info.mode of a deployment",
            param="model",
        )
