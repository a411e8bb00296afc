"""Deployments that nobody wrote down: the built-in demo, and providers whose keys are in the environment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any

from pointsman.config.catalogue import Catalogue, usable_vendors
from pointsman.config.check import Report
from pointsman.config.digest import fingerprint
from pointsman.config.models import entry_id
from pointsman.providers.base import Deployment, ModelFacts, Price, Vendor

DEMO_MODELS = (
    *("demo/small", "demo/medium", "demo/large", "demo/embed", "demo/image", "demo/speech", "demo/transcribe"),
    *("demo/moderation", "demo/rerank", "demo/*"),
)


def starting_tree() -> dict[str, Any]:
    """What is served when no config is given; ``examples/quickstart.yaml`` says the same."""
    demo = [{"model_name": name, "litellm_params": {"model": name}} for name in DEMO_MODELS]
    return {
        "model_list": demo,
        "general_settings": {"master_key": "auto"},
        "pointsman_settings": {"discover_providers": True},
    }


def discovered(catalogue: Catalogue, declared: Collection[str], report: Report) -> list[Deployment]:
    """``vendor/*`` and the known plain model names of each provider that can be called.

    Names that the document declares keep the meaning that it gives them. A plain name that several of these
    providers have is left to ``vendor/name``, since they differ in price and account.
    """
    vendors = usable_vendors(catalogue)
    known = {vendor.name: catalogue.models.get(vendor.name, {}) for vendor in vendors}
    plain = Counter(model for models in known.values() for model in models)
    made: list[Deployment] = []
    for vendor in vendors:
        wildcard = f"{vendor.name}/*"
        if wildcard not in declared:
            made.append(_deployment(catalogue, vendor, wildcard, "*", None))
        made += [
            _deployment(catalogue, vendor, model, model, facts)
            for model, facts in known[vendor.name].items()
            if plain[model] == 1 and model not in declared
        ]
    if vendors:
        found = ", ".join(vendor.name for vendor in vendors)
        report.notice(("pointsman_settings", "discover_providers"), f"found providers in the environment: {found}")
    return made


def _deployment(catalogue: Catalogue, vendor: Vendor, name: str, model: str, facts: ModelFacts | None) -> Deployment:
    credential = catalogue.key_of(vendor)
    base_url = catalogue.address_of(vendor) or ""
    key = "" if credential is None else fingerprint(credential.reveal())
    return Deployment(
        id=entry_id(["discovered", name, model, base_url, key]),
        model_name=name,
        vendor=vendor,
        upstream_model=model,
        base_url=base_url,
        credential=credential,
        mode=facts.mode if facts else None,
        price=facts.price if facts else Price(),
        max_input_tokens=facts.max_input_tokens if facts else None,
        max_output_tokens=facts.max_output_tokens if facts else None,
    )
