"""The bytes of the cards that clients see, made once for each form and address that they are asked for."""

from __future__ import annotations

import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from email.utils import formatdate
from typing import Any, Final, Literal

import msgspec

from pointsman.a2a.base import Call, LiveCard
from pointsman.a2a.cards.fetching import read_card
from pointsman.a2a.cards.forms import Card, Place, served, shaped
from pointsman.a2a.cards.keeping import Keeper
from pointsman.a2a.cards.reading import declared, live_card
from pointsman.a2a.cards.signing import CannotSign, Signer
from pointsman.a2a.settings import A2aSettings, AgentSettings, CardForm
from pointsman.access.settings import AccessSettings
from pointsman.errors import UpstreamBroken
from pointsman.wire.here import base_of

log = logging.getLogger(__name__)

MAX_SHOWN: Final = 1000
"""Cards that are kept as bytes; whom clients call the gateway by is theirs to choose."""
SOON: Final = 30
"""Seconds for which a card is good that is not the agent's newest."""
KEYS: Final = "/.well-known/jwks.json"

Source = Literal["live", "declared"]


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A card as it goes to clients."""

    body: bytes
    etag: str
    modified: str
    """As HTTP writes dates."""
    source: str
    """``live``, ``stale`` or ``declared``."""
    cache: str
    """``Cache-Control``."""


class _Kept(msgspec.Struct, frozen=True):
    live: LiveCard
    settings: AgentSettings
    shown: Shown


class Publisher:
    """Makes cards for clients."""

    def __init__(self, cards: Keeper, now: Callable[[], float]) -> None:
        self._cards = cards
        self._now = now
        self._settings = A2aSettings()
        self._access = AccessSettings()
        self._signer: Signer | None = None
        self._kept: OrderedDict[tuple[str, ...], _Kept] = OrderedDict()

    def configure(self, settings: A2aSettings, access: AccessSettings) -> None:
        """Go by these settings from now on."""
        if settings.signing_key != self._settings.signing_key:
            self._signer = _signer(settings)
        self._settings, self._access = settings, access
        self._kept.clear()

    def base(self, headers: Mapping[bytes, bytes]) -> str:
        """Where the gateway is for the client whose headers these are."""
        return base_of(self._settings.public_url, headers)

    def agent_at(self, host: str) -> str:
        """The id of the agent whose card stands at the root of a host; empty: none."""
        name = host.lower().rpartition("]")[0] + "]" if host.startswith("[") else host.lower().partition(":")[0]
        return self._settings.hosts.get(host.lower(), self._settings.hosts.get(name, self._settings.default_agent))

    async def card(self, settings: AgentSettings, form: CardForm | None, base: str, source: Source = "live") -> Shown:
        """An agent's card in a form; ``None``: in the one that is set for clients who do not say.

        :raises Unseen: it is not registered any more
        """
        form = form or self._settings.card_form
        live = declared(settings) if source == "declared" else await self._cards.live(settings.id)
        key = (settings.id, form, base, source)
        kept = self._kept.get(key)
        if kept is not None and kept.settings is settings and (kept.live is live or kept.live == live):
            self._kept.move_to_end(key)
            return kept.shown
        shown = self._show(live, settings, form, base, kept)
        self._kept[key] = _Kept(live, settings, shown)
        if len(self._kept) > MAX_SHOWN:
            self._kept.popitem(last=False)
        return shown

    def extended(self, call: Call, settings: AgentSettings, upstream: bytes) -> bytes:
        """The card that an agent has given to a client who has shown who it is, for that client.

        :raises UpstreamBroken: it is none
        """
        try:
            live = live_card(read_card(upstream), settings)
        except ValueError as error:
            raise UpstreamBroken("The agent's extended card cannot be read") from error
        base = self.base(call.headers)
        card = served(live, settings, self._place(settings, base))
        return msgspec.json.encode(self._signed(card, call.version, base))

    def keys(self) -> dict[str, Any] | None:
        """What signatures of cards are checked with (RFC 7517); ``None``: they are not signed."""
        return None if self._signer is None else {"keys": [self._signer.jwk]}

    def catalog(self, agents: Iterable[AgentSettings], base: str) -> dict[str, Any]:
        """Which agents there are, and where their cards are (RFC 9727, with the links of RFC 9264)."""
        urls = [_url(base, agent.id) for agent in agents]
        kind = {"type": "application/json"}
        return {
            "linkset": [
                {"anchor": f"{base}/.well-known/api-catalog", "item": [{"href": url} for url in urls]},
                *(
                    {"anchor": url, "service-desc": [{"href": f"{url}/.well-known/agent-card.json", **kind}]}
                    for url in urls
                ),
            ]
        }

    def _show(self, live: LiveCard, settings: AgentSettings, form: CardForm, base: str, before: _Kept | None) -> Shown:
        original = None if settings.rewrites_card or live.state == "declared" else self._cards.page(settings.id)
        if original is not None:
            body, etag = original, f'"{_digest(original)}"'
        else:
            card = served(live, settings, self._place(settings, base))
            etag = f'"{_digest(msgspec.json.encode(shaped(card, form)))}"'
            body = msgspec.json.encode(self._signed(card, form, base))
            if self._signer is not None:
                # Of the same card there can be several signatures.
                etag = "W/" + etag[:-1] + f'-{self._signer.kid[:8]}"'
        is_same = before is not None and before.shown.etag == etag
        seconds = int(self._settings.card_seconds) if live.state == "live" else SOON
        whose = "private" if self._needs_key(settings) else "public"
        return Shown(
            body=body,
            etag=etag,
            modified=before.shown.modified if before is not None and is_same else formatdate(self._now(), usegmt=True),
            source=live.state,
            cache=f"{whose}, max-age={seconds}",
        )

    def _signed(self, card: Card, form: CardForm, base: str) -> Card:
        made = shaped(card, form)
        if self._signer is not None:
            made["signatures"] = self._signer.sign(made, base + KEYS)
        return made

    def _place(self, settings: AgentSettings, base: str) -> Place:
        return Place(base, _url(base, settings.id), self._schemes() if self._needs_key(settings) else {})

    def _needs_key(self, settings: AgentSettings) -> bool:
        return self._access.master_key is not None and not settings.is_public

    def _schemes(self) -> dict[str, dict[str, Any]]:
        header = self._access.key_header or "x-api-key"
        found: dict[str, dict[str, Any]] = {
            "bearer": {"httpAuthSecurityScheme": {"scheme": "Bearer"}},
            "apiKey": {"apiKeySecurityScheme": {"location": "header", "name": header}},
        }
        issuers = () if self._access.tokens is None else self._access.tokens.issuers
        for index, issuer in enumerate(issuers):
            url = issuer.rstrip("/") + "/.well-known/openid-configuration"
            found[f"oidc{index or ''}"] = {"openIdConnectSecurityScheme": {"openIdConnectUrl": url}}
        return found


def _signer(settings: A2aSettings) -> Signer | None:
    if settings.signing_key is None:
        return None
    try:
        return Signer(settings.signing_key)
    except CannotSign as error:
        log.error("cards are not signed: %s", error)  # noqa: TRY400  the text says all
        return None


def _url(base: str, agent: str) -> str:
    return f"{base}/a2a/agents/{agent}"


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]
