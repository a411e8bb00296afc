"""Microsoft Entra ID: applications with a secret or a federated token, and managed identities.

Sources: learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow,
.../managed-identities-azure-resources/how-to-use-vm-token, and of App Service
learn.microsoft.com/azure/app-service/overview-managed-identity.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote, urlencode

from pointsman.upstream.credentials.base import Lease, refused
from pointsman.upstream.credentials.calls import Answer, Calls
from pointsman.upstream.credentials.tokens import read_file, token_lease
from pointsman.wire.identity import AzureIdentity

MACHINE_PATH = "/metadata/identity/oauth2/token"
MACHINE_VERSION = "2018-02-01"
APP_SERVICE_VERSION = "2019-08-01"
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class Entra:
    """Gets tokens for an identity that has none yet."""

    def __init__(self, identity: AzureIdentity, calls: Calls, clock: Callable[[], float]) -> None:
        self._identity = identity
        self._calls = calls
        self._clock = clock

    async def fetch(self) -> Lease[bytes]:
        """Header lines with a fresh token.

        :raises UpstreamError: there is none
        """
        identity = self._identity
        if identity.client_secret is not None:
            answer = await self._as_application({"client_secret": identity.client_secret.reveal()})
        elif identity.token_file is not None:
            assertion = read_file(identity.token_file).strip()
            answer = await self._as_application({"client_assertion_type": _ASSERTION, "client_assertion": assertion})
        else:
            answer = await self._as_machine()
        return token_lease(answer.fields(), answer.asked, self._clock())

    async def _as_application(self, proof: dict[str, str]) -> Answer:
        identity = self._identity
        if identity.tenant_id is None or identity.client_id is None:
            raise refused("an application of Entra ID needs a tenant and a client id")
        url = f"{identity.authority.rstrip('/')}/{quote(identity.tenant_id, safe='')}/oauth2/v2.0/token"
        form = {"grant_type": "client_credentials", "client_id": identity.client_id, "scope": identity.scope, **proof}
        return await self._calls.post(url, form)

    async def _as_machine(self) -> Answer:
        identity = self._identity
        query = {"resource": identity.scope.removesuffix("/.default")}
        if identity.client_id is not None:
            query["client_id"] = identity.client_id
        if identity.identity_endpoint is None:
            query["api-version"] = MACHINE_VERSION
            url = f"{identity.metadata_url.rstrip('/')}{MACHINE_PATH}?{urlencode(query)}"
            return await self._calls.get(url, {"Metadata": "true"})
        query["api-version"] = APP_SERVICE_VERSION
        header = identity.identity_header
        headers = {} if header is None else {"X-IDENTITY-HEADER": header.reveal()}
        return await self._calls.get(f"{identity.identity_endpoint}?{urlencode(query)}", headers)
