"""Whether a card is signed by somebody who is believed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from pointsman.a2a.cards.fetching import WebOf
from pointsman.a2a.cards.signing import CannotSign, Covers, Signature, signatures_of
from pointsman.a2a.settings import AgentSettings
from pointsman.errors import GatewayError

KEYS_SECONDS: Final = 300.0
"""So long keys are believed without asking again."""
MAX_KEY_URLS: Final = 100
MAX_KEYS: Final = 64
"""Of one document."""

Verdict = Literal["unsigned", "valid", "invalid", "unknown"]
Key = Mapping[str, Any]


class Judged(msgspec.Struct, frozen=True):
    """What has become of a card's signatures."""

    verdict: Verdict
    document: Mapping[str, Any]
    """What may be believed of it."""
    why: str = ""
    """For the operator, where it is neither unsigned nor valid."""

    def refusal(self, settings: AgentSettings) -> str | None:
        """Why the card is not to be used; ``None``: it is."""
        if settings.signatures == "require" and self.verdict != "valid":
            return f"the card has to be signed: {self.why or 'it is not'}"
        if settings.signatures == "if-present" and self.verdict == "invalid":
            return self.why
        return None


class _KeySet(msgspec.Struct):
    keys: list[dict[str, Any]]


class Trust:
    """Judges cards. Keys are those of the registration, or those at a ``jku`` of the ``allowed`` addresses.

    Of these, one with a slash at its end stands for all below it.
    """

    def __init__(self, web: WebOf, clock: Callable[[], float]) -> None:
        self.allowed: Sequence[str] = ()
        self._web = web
        self._clock = clock
        self._sets: dict[str, tuple[float, Sequence[Key]]] = {}

    async def judge(self, document: Mapping[str, Any], settings: AgentSettings) -> Judged:
        """What has become of the signatures; one that is valid is enough."""
        if "signatures" not in document or not document["signatures"]:
            return Judged("unsigned", document)
        if settings.signatures == "off":
            return Judged("unknown", document)
        covers = Covers(document)
        why, is_tried = "", False
        for signature in signatures_of(document):
            try:
                keys = await self._keys(signature, settings)
                for key in keys:
                    part = covers.by(signature, key)
                    if part is not None:
                        return Judged("valid", part)
            except (CannotSign, GatewayError) as error:
                why = str(error)
            else:
                is_tried = is_tried or bool(keys)
        if is_tried:
            return Judged("invalid", document, "the signature of the card is not valid")
        return Judged("unknown", document, why or "nobody is known who may have signed the card")

    async def _keys(self, signature: Signature, settings: AgentSettings) -> list[Key]:
        found: Sequence[Key] = settings.signing_keys
        if not found and signature.jku is not None and self._is_allowed(signature.jku):
            found = await self._load(signature.jku, settings)
        return [key for key in found if signature.fits(key)]

    def _is_allowed(self, url: str) -> bool:
        is_plain = ".." not in url and "%" not in url
        return url in self.allowed or (
            is_plain and any(one[-1:] == "/" and url.startswith(one) for one in self.allowed)
        )

    async def _load(self, url: str, settings: AgentSettings) -> Sequence[Key]:
        until, keys = self._sets.get(url, (0.0, ()))
        if self._clock() < until:
            return keys
        answer = await self._web(settings).get(url)
        if answer.status != 200:
            raise answer.refusal()
        keys = answer.read(_KeySet).keys[:MAX_KEYS]
        while len(self._sets) >= MAX_KEY_URLS:
            del self._sets[next(iter(self._sets))]
        self._sets[url] = (self._clock() + KEYS_SECONDS, keys)
        return keys
