"""What calls upstreams under one set of settings: connections, credentials of the moment, and LiteLLM's thread."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial

import msgspec

from pointsman.config.snapshot import Snapshot
from pointsman.pipeline.targets import credentials
from pointsman.providers.base import Deployment
from pointsman.providers.vendors import demo, mock, sigv4
from pointsman.telemetry.counts import PoolCounts
from pointsman.telemetry.tasks import Tasks
from pointsman.upstream.base import Upstream
from pointsman.upstream.credentials.authorizers import Authorizers
from pointsman.upstream.credentials.calls import Calls
from pointsman.upstream.credentials.signed import Signed
from pointsman.upstream.deadlines import Sweeper
from pointsman.upstream.litellm import BASE_URL, Litellm, Worker
from pointsman.upstream.loopback import Loopback, Reply
from pointsman.upstream.outbox import Outbox
from pointsman.upstream.pool import Pool
from pointsman.upstream.routes import Origin, parse_origin
from pointsman.upstream.settings import Proxies, Timeouts, UpstreamSettings


class Reach:
    """The ways to all upstreams. Deployments of several snapshots share it as long as the settings are equal."""

    def __init__(self, settings: UpstreamSettings, sweeper: Sweeper, outbox: Outbox, tasks: Tasks) -> None:
        self._settings = _ways(settings)
        self._pool = Pool(settings, sweeper, outbox)
        # Whoever gives credentials to machines is never behind a proxy.
        self._direct = Pool(msgspec.structs.replace(settings, proxies=Proxies()), sweeper, outbox)
        self.calls = Calls(self._pool, self._direct)
        """Small questions to who knows about identities."""
        self._authorizers = Authorizers(self.calls, tasks, time.time, sigv4.sign)
        self._worker = Worker(sweeper, settings.verify_tls and (settings.ca_file or True))
        self._builtin = Loopback(_demo)

    def serves(self, settings: UpstreamSettings) -> bool:
        """Whether it is as these settings want it."""
        return self._settings == _ways(settings)

    def upstream_of(self, deployment: Deployment, *, drops_params: bool) -> Upstream:
        """The way to one deployment.

        :raises OSError: the file with the certificates to trust cannot be read
        """
        if deployment.mock_response is not None:
            return Loopback(partial(_mock, deployment.mock_response))
        if deployment.base_url.startswith("demo:"):
            return self._builtin
        if deployment.base_url.startswith(BASE_URL):
            return self._long_tail(deployment, drops_params=drops_params)
        host = self._pool.host(deployment.base_url)
        return host if deployment.identity is None else Signed(host, self._authorizers.of(deployment.identity))

    def give_up(self, origins: Iterable[Origin]) -> None:
        """Keep no connection to hosts that nobody names any more."""
        self._pool.give_up(origins)

    def retire(self) -> None:
        """Keep no connection any more but those that have a request."""
        self._pool.retire()
        self._direct.retire()

    async def close(self, patience: float) -> None:
        """End everything; what is in progress fails."""
        await self._pool.close()
        await self._direct.close()
        await self._worker.close(patience)

    def counts(self) -> PoolCounts:
        """Connections to upstreams."""
        hosts = list(self._pool.hosts())
        return PoolCounts(
            open=sum(host.open_connections for host in hosts),
            idle=sum(host.idle_connections for host in hosts),
            waiting=sum(host.waiting for host in hosts),
        )

    def _long_tail(self, deployment: Deployment, *, drops_params: bool) -> Upstream:
        given = {"api_key": deployment.credential, "extra_headers": dict(deployment.headers)}
        return Litellm(
            self._worker,
            deployment.vendor.name,
            deployment.arguments | {name: value for name, value in given.items() if value},
            allowed=deployment.allowed_params,
            drops=deployment.drops_params or drops_params,
        )


def origins_of(deployments: Iterable[Deployment]) -> frozenset[Origin]:
    """The hosts that deployments name."""
    addresses = {one.base_url for one in deployments}
    return frozenset(parse_origin(one) for one in addresses if one.startswith(("http://", "https://")))


def _ways(settings: UpstreamSettings) -> UpstreamSettings:
    """Without what is said anew with each request."""
    return msgspec.structs.replace(settings, timeouts=Timeouts())


def _demo(method: bytes, target: bytes, body: bytes) -> Reply:
    answer = demo.respond(method, target, body, now=time.time())
    return Reply(status=answer.status, headers=answer.headers, pieces=answer.pieces)


def _mock(text: str, _method: bytes, target: bytes, body: bytes) -> Reply:
    answer = mock.respond(text, target, body, now=time.time())
    return Reply(status=answer.status, headers=[(b"content-type", answer.content_type)], pieces=[(0.0, answer.body)])


def secrets_of(snapshot: Snapshot) -> frozenset[str]:
    """What a snapshot holds that must not stand in any log line."""
    known = {text for deployment in snapshot.deployments for text in credentials(deployment)}
    if snapshot.access.master_key is not None:
        known.add(snapshot.access.master_key.reveal())
    known.update(snapshot.stores.secrets())
    if snapshot.mcp is not None:
        known.update(snapshot.mcp.secrets())
    if snapshot.a2a is not None:
        known.update(snapshot.a2a.secrets())
    return frozenset(known)
