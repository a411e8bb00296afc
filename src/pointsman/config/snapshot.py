"""The whole validated config in force."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import msgspec

from pointsman.access.settings import AccessSettings
from pointsman.batches.settings import BatchSettings
from pointsman.config.check import Problem, Report
from pointsman.config.dialect import Settings, translate
from pointsman.config.digest import digested, fingerprint
from pointsman.config.document import Document
from pointsman.pipeline.settings import ServingSettings
from pointsman.providers.base import Deployment, KnownModels, Vendor
from pointsman.routing.settings import RoutingSettings
from pointsman.store.settings import StoreSettings
from pointsman.upstream.settings import UpstreamSettings
from pointsman.wire.identity import Identity
from pointsman.wire.secret import Secret

if TYPE_CHECKING:
    from pointsman.a2a.settings import A2aSettings
    from pointsman.mcp.settings import McpSettings


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """An immutable config. A request keeps the snapshot that it began with."""

    number: int
    """Counts the snapshots of one process, from 1."""
    hash: str
    """SHA-256, in hex, of the resolved document and what the environment adds; equal means no change."""
    deployments: tuple[Deployment, ...]
    access: AccessSettings
    routing: RoutingSettings
    upstream: UpstreamSettings
    serving: ServingSettings
    stores: StoreSettings = StoreSettings()
    models: KnownModels = {}
    """What is publicly known, or known from the operator's own price table."""
    is_master_key_automatic: bool = False
    """``master_key: auto``: who starts the gateway makes the key and calls :meth:`with_master_key`."""
    has_canary_check: bool = False
    """Whether new deployments are asked something small before the snapshot is put in force."""
    mcp: McpSettings | None = None
    """``None``: nothing is said of it, and nothing of it is loaded."""
    a2a: A2aSettings | None = None
    """The same."""
    batches: BatchSettings = BatchSettings()
    notices: tuple[Problem, ...] = ()
    """Warnings and notices, to be shown once at start."""
    sources: tuple[str, ...] = ()
    """Files that were read."""

    def open_on_purpose(self) -> Snapshot:
        """The same config for an operator who has said that it may be open beyond loopback."""
        return msgspec.structs.replace(self, access=msgspec.structs.replace(self.access, is_open_on_purpose=True))

    def with_master_key(self, key: Secret) -> Snapshot:
        """The same config with the key that the gateway made; the hash stays that of the document."""
        return msgspec.structs.replace(self, access=msgspec.structs.replace(self.access, master_key=key))


def build_snapshot(
    document: Document,
    *,
    vendors: dict[str, Vendor],
    models: KnownModels,
    number: int,
    found: tuple[Problem, ...] = (),
    prices: str = "",
) -> tuple[Snapshot | None, tuple[Problem, ...]]:
    """Translate a document; ``found`` are the problems of reading it, ``prices`` tells its price table from others.

    Returns the snapshot, or ``None`` when there is an error, and all problems.
    """
    report = Report(document.file, document.spots, document.missing)
    report.extend(found)
    settings = translate(document, vendors, models, report)
    problems = report.problems()
    if report.has_errors:
        return None, problems
    snapshot = Snapshot(
        number=number,
        hash=_hash(document, settings, prices),
        deployments=settings.deployments,
        access=settings.access,
        routing=settings.routing,
        upstream=settings.upstream,
        serving=settings.serving,
        stores=settings.stores,
        models=models,
        is_master_key_automatic=settings.is_master_key_automatic,
        has_canary_check=settings.has_canary_check,
        mcp=settings.mcp,
        a2a=settings.a2a,
        batches=settings.batches,
        notices=problems,
        sources=document.sources,
    )
    return snapshot, problems


def _hash(document: Document, settings: Settings, prices: str) -> str:
    """Also over what the environment gave without being named: keys, addresses, proxies; and over the prices."""
    upstream = digested(msgspec.to_builtins(settings.upstream), is_secret=True)
    stores = digested(msgspec.to_builtins(settings.stores, enc_hook=Secret.reveal), is_secret=True)
    return fingerprint(
        [
            digested(document.tree, (), document.from_environment),
            [
                [
                    one.id,
                    one.base_url,
                    _key_digest(one.credential),
                    msgspec.to_builtins(one.options),
                    _who(one.identity),
                ]
                for one in settings.deployments
            ],
            _key_digest(settings.access.master_key),
            digested(msgspec.to_builtins(settings.access.tokens), is_secret=True),
            upstream,
            stores,
            # The switches may stand in the environment; all else stands in the document.
            None if settings.mcp is None else settings.mcp.is_enabled,
            None if settings.a2a is None else settings.a2a.is_enabled,
            prices,
        ]
    )


def _who(identity: Identity | None) -> Any:
    """An identity with digests of its texts, which may be secrets."""
    values = {} if identity is None else msgspec.to_builtins(identity, enc_hook=Secret.reveal)
    return digested(values, is_secret=True)


def _key_digest(key: Secret | None) -> str:
    return "" if key is None else hashlib.sha256(key.reveal().encode()).hexdigest()
