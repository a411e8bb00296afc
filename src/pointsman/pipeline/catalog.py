"""What can be asked for: the listings of models and deployments."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from pointsman.errors import ModelNotFound
from pointsman.providers.base import Deployment, KnownModels
from pointsman.providers.registry import SUPPORTS
from pointsman.routing.groups import Group, Groups, Match, captured

CREATED = 1677610602
"""The constant that LiteLLM reports; a public name has no creation date."""


def _anybody(*_names: str) -> bool:
    return True


class Catalog:
    """Public names of one snapshot, with what is known of the models behind them."""

    def __init__(self, groups: Groups, deployments: Iterable[Deployment], known: KnownModels) -> None:
        self._groups = groups
        self._deployments = tuple(deployments)
        self._known = known

    def models(self, may_use: Callable[..., bool] = _anybody) -> list[dict[str, Any]]:
        """Entries of ``/v1/models``: one per public name; a provider's wildcard is shown as its known models.

        Only those are told that ``may_use`` allows, by the name and that of its group.
        """
        entries: dict[str, dict[str, Any]] = {}
        names = [name for name in self._groups.names if "*" not in name]
        names += [name for group in self._groups if "*" in group.name for name in self._expand(group)]
        for name in names:
            # An alias may lead nowhere, when its model was left out.
            with suppress(ModelNotFound):
                match = self._groups.match(name)
                if may_use(name, match.group.name):
                    entries.setdefault(name, self._entry(name, match))
        return list(entries.values())

    def model(self, name: str, may_use: Callable[..., bool] = _anybody) -> dict[str, Any]:
        """The entry of one public name; a name that only a wildcard knows has one too.

        :raises ModelNotFound: nothing answers to it, or whoever asks may not use it
        """
        match = self._groups.match(name)
        if not may_use(name, match.group.name):
            raise ModelNotFound(param="model")
        if any(d.id == name for d in match.group.deployments) and name not in self._groups.names:
            # Deployment ids can be called but are no public names.
            raise ModelNotFound(param="model")
        return self._entry(name, match)

    def deployments(self, may_use: Callable[..., bool] = _anybody) -> list[dict[str, Any]]:
        """Entries of ``/model/info``; no credential, and no header that may hold one."""
        return [self._deployment(d) for d in self._deployments if may_use(d.id, d.model_name)]

    def _expand(self, group: Group) -> Iterable[str]:
        """Names that a wildcard stands for: those whose ``*`` gives a known model of the upstream."""
        for deployment in group.deployments:
            prefix, star, suffix = deployment.upstream_model.partition("*")
            for model in self._known.get(deployment.vendor.name, {}) if star else ():
                found = captured(prefix, suffix, model)
                if found:
                    yield f"{group.prefix}{found}{group.suffix}"

    def _entry(self, name: str, match: Match) -> dict[str, Any]:
        if not match.group.deployments:
            # Whose model it is, each prompt decides.
            return {"id": name, "object": "model", "created": CREATED, "owned_by": "pointsman", "mode": "chat"}
        first = match.group.deployments[0]
        entry: dict[str, Any] = {
            "id": name,
            "object": "model",
            "created": CREATED,
            "owned_by": first.vendor.name,
        }
        model = first.upstream_model.replace("*", match.captured or "*")
        facts = self._known.get(first.vendor.name, {}).get(model)
        mode = first.mode or (facts.mode if facts else None)
        limits = {
            "mode": mode,
            "max_input_tokens": first.max_input_tokens or (facts.max_input_tokens if facts else None),
            "max_output_tokens": first.max_output_tokens or (facts.max_output_tokens if facts else None),
        }
        return entry | {key: value for key, value in limits.items() if value is not None}

    def _deployment(self, deployment: Deployment) -> dict[str, Any]:
        price = deployment.price
        parameters: dict[str, Any] = {
            "model": f"{deployment.vendor.name}/{deployment.upstream_model}",
            "api_base": deployment.base_url,
            "rpm": deployment.rpm,
            "tpm": deployment.tpm,
            "weight": deployment.weight,
            "order": deployment.order,
            "timeout": deployment.timeout,
            "stream_timeout": deployment.stream_timeout,
            "tags": list(deployment.tags) or None,
            "region_name": deployment.region,
        }
        info: dict[str, Any] = {
            **deployment.info,
            **{key: False for key, what in SUPPORTS.items() if what in deployment.lacks},
            "id": deployment.id,
            "db_model": False,
            "key": deployment.upstream_model,
            "mode": deployment.mode,
            "max_input_tokens": deployment.max_input_tokens,
            "max_output_tokens": deployment.max_output_tokens,
            "input_cost_per_token": price.input_usd_per_token,
            "output_cost_per_token": price.output_usd_per_token,
            "litellm_provider": deployment.vendor.name,
        }
        return {
            "model_name": deployment.model_name,
            "litellm_params": {k: v for k, v in parameters.items() if v is not None},
            "model_info": info,
        }
