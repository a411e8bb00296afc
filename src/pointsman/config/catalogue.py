"""What ``model_list`` refers to: vendors, the environment's keys and addresses, prices, credentials."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from pointsman.config.kinds import Mismatch, read_url
from pointsman.config.marks import Path
from pointsman.providers.base import KnownModels, ModelFacts, Price, Vendor
from pointsman.providers.litellm_prices import stated_costs, stated_tiers
from pointsman.providers.registry import SUPPORTS, api_root, priced
from pointsman.wire.secret import Secret


class Catalogue(msgspec.Struct, frozen=True, kw_only=True):
    """What entries refer to: vendors, model facts, the environment and shared credentials."""

    vendors: dict[str, Vendor]
    models: KnownModels = {}
    environment: dict[str, str] = {}
    credentials: dict[str, tuple[Path, dict[str, Any]]] = {}
    """``credential_list`` by name: where the values stand, and the values."""
    from_environment: frozenset[Path] = frozenset()
    may_ask_azure_machine: bool = False
    """``enable_azure_ad_token_refresh``: whether Azure is called as the machine that the gateway runs on."""

    def key_of(self, vendor: Vendor) -> Secret | None:
        """The vendor's key in the environment."""
        for name in vendor.key_env:
            key = self.environment.get(name, "").strip()
            if key and key.isascii() and key.isprintable():
                return Secret(key)
        return None

    def address_of(self, vendor: Vendor) -> str | None:
        """The vendor's address: ``<VENDOR>_API_BASE`` or ``_BASE_URL`` of the environment, or its own.

        Raises:
            Mismatch: the variable does not hold an address.

        """
        prefix = vendor.name.upper().replace("-", "_")
        for name in (f"{prefix}_API_BASE", f"{prefix}_BASE_URL"):
            if self.environment.get(name, "").strip():
                try:
                    return api_root(vendor, read_url(self.environment[name]))
                except Mismatch as mismatch:
                    raise Mismatch(f"the environment variable {name} {mismatch}") from None
        return vendor.base_url


def usable_vendors(catalogue: Catalogue) -> list[Vendor]:
    """Vendors that the environment has a key for, or an address of a server that needs none.

    Of vendors with the same address, which are spellings of one, the first. Clouds are left to be written down: what
    they serve is the operator's choice there.
    """
    found: dict[str, Vendor] = {}
    for vendor in catalogue.vendors.values():
        if vendor.cloud is not None:
            continue
        try:
            address = catalogue.address_of(vendor)
        except Mismatch:
            continue
        is_given = address != vendor.base_url and not vendor.needs_key
        if address is not None and (catalogue.key_of(vendor) is not None or is_given):
            found.setdefault(address, vendor)
    return list(found.values())


def facts_of(known: KnownModels, vendor: Vendor, *names: str) -> ModelFacts | None:
    """Facts of the first of these names that is known, with or without its provider."""
    for name in names:
        provider, _, model = name.partition("/")
        found = known.get(vendor.name, {}).get(name) or known.get(provider, {}).get(model)
        if found is not None:
            return found
    return None


def price_of(params: Mapping[str, Any], info: Mapping[str, Any], known: Price) -> Price:
    """The document's prices over the public ones, by field; ``litellm_params`` go before ``model_info``."""
    return priced(known, stated_costs(info) | stated_costs(params), stated_tiers({**info, **params}))


def lacks_of(info: Mapping[str, Any], known: frozenset[str]) -> frozenset[str]:
    """What a model does not take: as ``model_info`` says, and as is known where it says nothing."""
    stated = {what: info[key] for key, what in SUPPORTS.items() if key in info}
    return (known - stated.keys()) | {what for what, is_taken in stated.items() if not is_taken}
