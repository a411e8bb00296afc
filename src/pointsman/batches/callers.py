"""Whose lines they are: as whoever has made a batch may call models at the moment, not when he made it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from pointsman.access.caller import CHALLENGE, Caller, Family, caller_of
from pointsman.access.keys import Key, from_doc
from pointsman.errors import Unauthenticated
from pointsman.pipeline.known_keys import KnownKeys
from pointsman.store.base import Row

PAGE: Final = 1_000
USER: Final = "user:"


class Callers:
    """Finds callers by the ids of their keys; they are known as those of keys that are shown."""

    def __init__(self, keys: KnownKeys, master: Callable[[], Caller], secret: bytes) -> None:
        """``secret`` is random: nobody can show a key that is taken for one of these."""
        self._keys = keys
        self._master = master
        self._secret = secret

    async def find(self, key_id: str, account: str, owner: str) -> Caller:
        """The caller with that key, or with the one that has taken its place; no id is the master's.

        :raises Unauthenticated: it is not valid any more
        :raises Forbidden: somebody has blocked it
        :raises Overloaded: the store is away
        """
        if not key_id:
            return self._master()
        name = self._secret + key_id.encode()
        found = self._keys.known(name)
        return found or await self._keys.settled(name, partial(self._family, key_id, account, owner), caller_of)

    async def _family(self, key_id: str, account: str, owner: str) -> Family:
        key = await self._keys.row("keys", key_id, Key)
        if key is None:
            successor = await self._successor(account, owner)
            if successor is None:
                raise Unauthenticated("The API key of this batch does not exist any more", headers=CHALLENGE)
            key_id, key = successor.id, from_doc(successor.doc, Key)
        return await self._keys.family_of(key_id, key)

    async def _successor(self, account: str, owner: str) -> Row | None:
        """The key that was made in the place of another one; all of a user's are looked at, or all."""
        where = {"user_id": owner.removeprefix(USER)} if owner.startswith(USER) else {}
        after: tuple[str, ...] | None = None
        while account:
            rows = await self._keys.records.find("keys", where, after=after, limit=PAGE)
            found = next((row for row in rows if row.doc.get("account") == account), None)
            if found is not None or len(rows) < PAGE:
                return found
            after = (rows[-1].id,)
        return None
