"""Vendors whose addresses are made of a region, a project or a resource, and that have models of many makers."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Protocol

from pointsman.providers.base import VendorOptions
from pointsman.providers.vendors import azure, azure_ai, bedrock, vertex


class Cloud(Protocol):
    """A vendor, as a module of functions. ``model`` is what follows ``provider/``, possibly chosen by the caller."""

    def dialect(self, model: str) -> str:
        """The dialect that the model speaks there."""

    def name(self, model: str) -> str:
        """What the body calls the model."""

    def base_url(self, options: VendorOptions, api_base: str | None) -> str | None:
        """The address of a deployment, without a trailing slash; ``api_base`` is what the operator has given.

        ``None``: it cannot be made without an ``api_base``.
        """

    def root(self, base_path: str, model: str, options: VendorOptions) -> str:
        """The ``base_path`` with which the dialect's other operations are written."""

    def path(
        self, base_path: str, operation: str, model: str, *, is_stream: bool, options: VendorOptions
    ) -> str | None:
        """Path and query of an operation, by its name; ``None``: what the dialect says.

        :raises InvalidRequest: the model's name cannot stand in an address
        """

    def adapt(self, operation: str, model: str, body: dict[str, Any]) -> dict[str, Any]:
        """The dialect's body as this vendor takes it; ``body`` may be changed."""


CLOUDS: Mapping[str, Cloud] = MappingProxyType(
    {"azure": azure, "azure_ai": azure_ai, "vertex": vertex, "bedrock": bedrock}
)
