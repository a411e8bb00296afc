"""Who calls with a token of an identity provider.

Theory of operation: a token is verified when it is seen first; its caller is then remembered beside those of keys
(:class:`~pointsman.pipeline.known_keys.KnownKeys`), under the digest of the **whole** token and of the settings that it
was read by. So it is forgotten when a user, a team or a budget that it depends on changes; when it ends; and when keys
are asked for again, since a key that its provider has taken back proves nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from pointsman.access.caller import Caller, Family
from pointsman.access.keys import Team, Terms, User, to_doc
from pointsman.access.settings import TokenSettings
from pointsman.access.tokens import Party, caller_of_token, check_claims, head_of, is_token, party_of
from pointsman.errors import Forbidden, Unauthenticated
from pointsman.store.base import Audit, Change, Conflict

if TYPE_CHECKING:
    from pointsman.pipeline.key_sets import KeySets
    from pointsman.pipeline.known_keys import KnownKeys


class Proven(msgspec.Struct, frozen=True):
    """A token that was verified."""

    name: bytes
    """What it is remembered under."""
    party: Party


class Tokens:
    """Tokens under one set of settings; its methods belong to the event loop."""

    def __init__(self, settings: TokenSettings, key_sets: KeySets, *, now: Callable[[], float]) -> None:
        """``now`` is seconds since the epoch."""
        self.settings = settings
        self._key_sets = key_sets
        self._now = now
        self._salt = hashlib.sha256(msgspec.json.encode(settings)).digest()

    def known_in(self, keys: KnownKeys) -> Callable[[bytes], Caller | None]:
        """Tells whose key or token something is, if that is known; asks nobody."""
        return partial(self._known, keys)

    def _known(self, keys: KnownKeys, shown: bytes) -> Caller | None:
        return keys.known(self._salt + shown if is_token(shown) else shown)

    async def prove(self, shown: Iterable[bytes]) -> Proven | None:
        """The first token that is valid; ``None``: there is none at all.

        :raises Unauthenticated: there is one, which is not valid
        :raises Forbidden: it is, and is not let in
        :raises Overloaded: there are no keys to tell by
        """
        refusal: Unauthenticated | None = None
        for token in shown:
            if is_token(token):
                try:
                    return await self._prove(token)
                except Unauthenticated as error:
                    refusal = refusal or error
        if refusal is not None:
            raise refusal
        return None

    async def _prove(self, token: bytes) -> Proven:
        head = head_of(token)
        claims, issuer = await self._key_sets.verified(token, head)
        check_claims(claims, self.settings, self._now(), issuer)
        return Proven(self._salt + token, party_of(claims, self.settings))

    async def caller(self, keys: KnownKeys, proven: Proven) -> Caller:
        """Who calls with a token, by the rows of its user and team.

        :raises Forbidden: nobody knows these here, or somebody has blocked them
        :raises Overloaded: the store is away
        """
        party = proven.party
        return await keys.settled(
            proven.name, partial(self._family, keys, party), partial(caller_of_token, party, self.settings)
        )

    async def _family(self, keys: KnownKeys, party: Party) -> Family:
        team_id = await self._team(keys, party)
        if party.role is None:
            is_known = await self._is_user(keys, party)
            if not (team_id is not None or is_known or party.is_vouched):
                raise Forbidden("This token names neither a user nor a team that is known here")
        return await keys.family_of("", party.key(team_id))

    async def _team(self, keys: KnownKeys, party: Party) -> str | None:
        for team_id in party.team_ids:
            if await keys.row("teams", team_id, Team) is not None:
                return team_id
        if party.team_id is not None:
            if await keys.row("teams", party.team_id, Team) is None:
                if not self.settings.makes_teams:
                    raise Forbidden("This token's team is not known here")
                await self._make(keys, party, "teams", party.team_id, Team(**self._made(party)))
            return party.team_id
        if self.settings.needs_team and party.role is None:
            raise Forbidden("This token names no team that is known here")
        return None

    async def _is_user(self, keys: KnownKeys, party: Party) -> bool:
        if party.user_id is None:
            return False
        if await keys.row("users", party.user_id, User) is None:
            if not self.settings.makes_users:
                return False
            await self._make(keys, party, "users", party.user_id, User(user_email=party.email, **self._made(party)))
        return True

    async def _make(self, keys: KnownKeys, party: Party, table: str, row_id: str, row: Terms) -> None:
        doc = to_doc(row)
        audit = Audit(who=f"key:{party.account}", what=f"{table[:-1]}.new", target=row_id, after=doc)
        # Somebody else may have been quicker.
        with suppress(Conflict):
            await keys.records.change([Change(table, row_id, doc, 0)], audit)

    def _made(self, party: Party) -> dict[str, Any]:
        now = datetime.fromtimestamp(int(self._now()), UTC)
        return {"created_at": now, "created_by": party.account, "updated_at": now, "updated_by": party.account}
