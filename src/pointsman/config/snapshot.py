"""The whole validated config in force."""

from __future__ import annotations

import hashlib

import msgspec

from pointsman.access.settings import AccessSettings
from pointsman.config.check import Problem, Report
from pointsman.config.dialect import Settings, translate
from pointsman.config.digest import digested, fingerprint
from pointsman.config.document import Document
from pointsman.pipeline.settings import ServingSettings
from pointsman.providers.base import Deployment, ModelFacts, Vendor
from pointsman.routing.settings import RoutingSettings
from pointsman.upstream.settings import UpstreamSettings
from pointsman.wire.secret import Secret


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
    is_master_key_automatic: bool = False
    """``master_key: auto``: who starts the gateway makes the key and calls :meth:`with_master_key`."""
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
    facts: dict[str, ModelFacts],
    number: int,
    found: tuple[Problem, ...] = (),
) -> tuple[Snapshot | None, tuple[Problem, ...]]:
    """Translate a document; ``found`` are the problems of reading it.

    Returns the snapshot, or ``None`` when there is an error, and all problems.
    """
    report = Report(document.file, document.spots, document.missing)
    report.extend(found)
    settings = translate(document, vendors, facts, report)
    problems = report.problems()
    if report.has_errors:
        return None, problems
    snapshot = Snapshot(
        number=number,
        hash=_hash(document, settings),
        deployments=settings.deployments,
        access=settings.access,
        routing=settings.routing,
        upstream=settings.upstream,
        serving=settings.serving,
        is_master_key_automatic=settings.is_master_key_automatic,
        notices=problems,
        sources=document.sources,
    )
    return snapshot, problems


def _hash(document: Document, settings: Settings) -> str:
    """Also over what the environment gave without being named: keys, addresses, proxies."""
    upstream = digested(msgspec.to_builtins(settings.upstream), is_secret=True)
    return fingerprint(
        [
            digested(document.tree, (), document.from_environment),
            [[one.id, one.base_url, _key_digest(one.credential)] for one in settings.deployments],
            _key_digest(settings.access.master_key),
            upstream,
        ]
    )


def _key_digest(key: Secret | None) -> str:
    return "" if key is None else hashlib.sha256(key.reveal().encode()).hexdigest()
