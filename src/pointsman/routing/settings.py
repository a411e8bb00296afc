"""What an operator can set about routing."""

from __future__ import annotations

import msgspec


class Alias(msgspec.Struct, frozen=True, kw_only=True):
    """Another public name of a model group."""

    model: str
    is_hidden: bool = False


class RoutingSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a model name finds its deployments."""

    aliases: dict[str, Alias] = {}
    default_model: str | None = None
    """Used by chat and completion requests that name no model (``completion_model``)."""
