"""As whom the gateway asks an authorization server for tokens."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

import msgspec

from pointsman.errors import Overloaded, UpstreamRejected
from pointsman.mcp.auth.tickets import Journey
from pointsman.mcp.auth.vault import Vault, id_of
from pointsman.mcp.protocol.oauth import Issuer, client_metadata
from pointsman.mcp.settings import AuthSettings, ServerSettings
from pointsman.store.registry import MAX_ENTRIES
from pointsman.upstream.web import Web
from pointsman.wire.oauth import BASIC, NONE, POST, Mistrusted, Registered, method_for

MAX_ADDRESSES: Final = 10
"""By so many names of the gateway it is registered for a server, where none is configured."""


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """A row: a client, and who knows it."""

    issuer: str
    client_id: str
    client_secret: str | None = None
    method: str = NONE

    @property
    def registered(self) -> Registered:
        """As it asks for tokens."""
        return Registered(
            client_id=self.client_id, client_secret=self.client_secret, token_endpoint_auth_method=self.method
        )


class Clients:
    """Makes the gateway known where it is not."""

    def __init__(self, vault: Vault[Client]) -> None:
        self.home = ""
        """The address of the gateway, if it is configured."""
        self._vault = vault
        self._made: dict[str, set[str]] = {}
        """By server: rows of registrations at addresses that clients have used."""

    async def of(self, settings: ServerSettings, issuer: Issuer, web: Web, redirect_uri: str, document: str) -> Client:
        """The client for users of a server: the configured one, that of ``document``, or one that is registered.

        ``document`` is empty where nobody could read it.

        :raises Mistrusted: there is none, or it is for another issuer
        :raises UpstreamError: registration failed
        """
        if settings.auth.client_id is not None:
            return await self.configured(settings, issuer)
        if document and issuer.client_id_metadata_document_supported:
            return Client(issuer=issuer.issuer, client_id=document)
        row_id = id_of("registered", issuer.issuer, redirect_uri)
        known = await self._vault.get(row_id)
        if known is None:
            self._count(settings.id, row_id, redirect_uri)
            known = await _register(issuer, web, redirect_uri)
            await self._vault.put(row_id, known)
        return known

    async def again(self, settings: ServerSettings, journey: Journey) -> Client:
        """The client that a user was sent away with.

        :raises Mistrusted: there is none any more
        """
        client = Client(issuer=journey.issuer, client_id=journey.client_id, method=journey.method)
        if journey.method == NONE:
            return client
        if journey.client_id == settings.auth.client_id:
            secret = settings.auth.client_secret
            return msgspec.structs.replace(client, client_secret=None if secret is None else secret.reveal())
        known = await self._vault.get(id_of("registered", journey.issuer, journey.redirect_uri))
        if known is None or known.client_id != journey.client_id:
            raise Mistrusted("the gateway has another client there now; begin again")
        return known

    async def forget(self, journey: Journey) -> None:
        """The authorization server may not know a client any more that was registered there."""
        with suppress(Overloaded):
            await self._vault.drop(id_of("registered", journey.issuer, journey.redirect_uri))

    def _count(self, server_id: str, row_id: str, redirect_uri: str) -> None:
        """Clients choose by which name they call the gateway, and each name is a registration of its own.

        :raises Mistrusted: there are enough
        """
        if self.home and redirect_uri.startswith(self.home):
            return
        made = self._made.setdefault(server_id, set())
        if row_id not in made and len(made) >= MAX_ADDRESSES:
            raise Mistrusted("the gateway was registered there by too many names of its own: configure mcp.public_url")
        made.add(row_id)
        while len(self._made) > MAX_ENTRIES:
            del self._made[next(iter(self._made))]

    async def configured(self, settings: ServerSettings, issuer: Issuer) -> Client:
        """The client that an operator has got from one authorization server, and that no other one is shown.

        :raises Mistrusted: the server names another one by now
        :raises Overloaded: the store is away
        """
        client = configured(settings.auth, issuer)
        row_id = id_of("configured", settings.id, settings.url, client.client_id)
        known = await self._vault.get(row_id, is_fresh=True)
        if known is None:
            await self._vault.put(row_id, Client(issuer=issuer.issuer, client_id=client.client_id))
        elif known.issuer != issuer.issuer:
            raise Mistrusted(
                f"its authorization server was {known.issuer[:200]} and is {issuer.issuer[:200]} now, which the "
                "configured client is not for: get another client_id there"
            )
        return client


def configured(auth: AuthSettings, issuer: Issuer) -> Client:
    """The client that an operator has made known."""
    assert auth.client_id is not None
    secret = None if auth.client_secret is None else auth.client_secret.reveal()
    method = method_for(issuer.token_endpoint_auth_methods_supported, has_secret=secret is not None)
    return Client(issuer=issuer.issuer, client_id=auth.client_id, client_secret=secret, method=method)


async def _register(issuer: Issuer, web: Web, redirect_uri: str) -> Client:
    if not issuer.registration_endpoint:
        raise Mistrusted(f"{issuer.issuer[:200]} registers nobody by itself: get a client_id there and configure it")
    wanted = method_for(issuer.token_endpoint_auth_methods_supported, has_secret=True)
    answer = await web.post_json(issuer.registration_endpoint, client_metadata(redirect_uri, wanted))
    if answer.status not in (200, 201):
        refused = answer.refusal()
        if isinstance(refused, UpstreamRejected):
            raise Mistrusted(f"{issuer.issuer[:200]} does not register the gateway: {answer.error() or answer.status}")
        raise refused
    found = answer.read(Registered)
    method = found.token_endpoint_auth_method or wanted
    if method not in (BASIC, POST, NONE) or (method != NONE and found.client_secret is None):
        raise Mistrusted(f"{issuer.issuer[:200]} has registered the gateway in a way that is not possible here")
    return Client(issuer=issuer.issuer, client_id=found.client_id, client_secret=found.client_secret, method=method)
