"""From an identity to its authorizer."""

from __future__ import annotations

from collections.abc import Callable

from pointsman.telemetry.tasks import Tasks
from pointsman.upstream.credentials.aws import Aws, Signing
from pointsman.upstream.credentials.base import Authorizer
from pointsman.upstream.credentials.caching import Bearer, Cached, Fixed
from pointsman.upstream.credentials.calls import Calls
from pointsman.upstream.credentials.entra import Entra
from pointsman.upstream.credentials.google import Google
from pointsman.upstream.credentials.sts import Signer
from pointsman.upstream.credentials.tokens import bearer_lines
from pointsman.wire.identity import AwsIdentity, AzureIdentity, Identity


class Authorizers:
    """One authorizer for each identity: deployments that are called as the same one share its token.

    ``clock`` is Unix time, ``sign`` the signature that Amazon asks for.
    """

    def __init__(self, calls: Calls, tasks: Tasks, clock: Callable[[], float], sign: Signer) -> None:
        self._calls = calls
        self._tasks = tasks
        self._clock = clock
        self._sign = sign
        self._made: dict[Identity, Authorizer] = {}

    def of(self, identity: Identity) -> Authorizer:
        """The authorizer of an identity; nothing is asked before the first request needs it."""
        found = self._made.get(identity)
        if found is None:
            found = self._made[identity] = self._make(identity)
        return found

    def _make(self, identity: Identity) -> Authorizer:
        calls, tasks, clock = self._calls, self._tasks, self._clock
        if isinstance(identity, AwsIdentity):
            keys = Cached(Aws(identity, calls, self._sign, clock).fetch, tasks, clock)
            return Signing(keys, self._sign, identity.region, clock)
        if isinstance(identity, AzureIdentity):
            if identity.token is not None:
                return Fixed(bearer_lines(identity.token.reveal()))
            return Bearer(Cached(Entra(identity, calls, clock).fetch, tasks, clock))
        return Bearer(Cached(Google(identity, calls, clock).fetch, tasks, clock))
