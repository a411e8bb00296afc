"""A webhook of a client, and the sealed text that stands for it: in the address that an agent is told, and at rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from pointsman.a2a.protocol.faults import INVALID_PARAMS, refusal
from pointsman.a2a.protocol.operations import Version
from pointsman.a2a.push.webhooks import wrong_value
from pointsman.access.caller import Caller, Role
from pointsman.store.sealing import CannotUnseal, Sealer
from pointsman.wire.jsonrpc import RpcError

CONTEXT: Final = "a2a push"
MAX_TEXT: Final = 2_000
"""Characters of a token or a credential."""
MAX_ID: Final = 200
MAX_TOKEN: Final = 16_000
"""Characters of a sealed text."""
CONFIGS: Final = ("taskpushnotificationconfig", "pushnotificationconfig")
"""How the member with a configuration is called, in small letters and without underscores: agents read either."""


class Holder(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who has set a webhook; by default somebody without a key."""

    name: str = ""
    key: str = ""
    """Of the row of the key; empty where there is none, as for tokens of an identity provider."""
    user: str | None = None
    team: str | None = None
    role: Role = "none"


class Hook(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where and how a client wants to be told."""

    agent: str
    id: str
    """Of the configuration."""
    version: Version
    """Of what is told."""
    url: str
    token: str = ""
    scheme: str = ""
    credentials: str = ""
    task: str = ""
    """Empty: the one that a message begins, which is not known when the agent is told."""
    upstream: str = ""
    """What the agent calls the configuration, where that is something else."""
    holder: Holder = Holder()

    def config(self, task: str) -> dict[str, Any]:
        """The configuration of a task, in the form of version 1.0."""
        found = {"taskId": task, "id": self.id, "url": self.url}
        return found | self._shown()

    def _shown(self) -> dict[str, Any]:
        found: dict[str, Any] = {"token": self.token} if self.token else {}
        if self.scheme:
            found["authentication"] = {"scheme": self.scheme}
            if self.credentials:
                found["authentication"]["credentials"] = self.credentials
        return found


def holder_of(caller: Caller) -> Holder:
    """What is kept of a caller, by which he is found again."""
    return Holder(name=caller.name, key=caller.id, user=caller.user_id, team=caller.team_id, role=caller.role)


def seal(hook: Hook, sealer: Sealer) -> str:
    """A text that tells nobody anything.

    :raises CannotUnseal: the library for it is missing
    """
    return sealer.seal(msgspec.json.encode(hook).decode(), CONTEXT)


def unseal(text: str, sealer: Sealer) -> Hook | None:
    """``None``: it was not made here."""
    if len(text) > MAX_TOKEN:
        return None
    try:
        return msgspec.json.decode(sealer.unseal(text, CONTEXT).reveal(), type=Hook)
    except (CannotUnseal, msgspec.MsgspecError):
        return None


def read(config: Mapping[str, Any], *, agent: str, version: Version, id: str, task: str = "") -> Hook:  # noqa: A002
    """The webhook of a configuration in the form of version 1.0; ``id`` is for one that has none.

    :raises RpcError: what it says cannot be used
    """
    shown = config.get("authentication") or {}
    if not isinstance(shown, dict):
        raise _invalid("authentication", "has to be an object")
    return Hook(
        agent=agent,
        id=_text(config, "id", MAX_ID) or id,
        version=version,
        url=_text(config, "url", MAX_TEXT),
        token=_header(config, "token"),
        scheme=_header(shown, "scheme"),
        credentials=_header(shown, "credentials"),
        task=task,
    )


def named(found: Mapping[str, Any]) -> str | None:
    """The name of the member that holds a configuration, however it is spelled; ``None``: there is none."""
    for name, value in found.items():
        if value is not None and name.replace("_", "").casefold() in CONFIGS:
            return name
    return None


def _header(found: Mapping[str, Any], name: str) -> str:
    text = _text(found, name, MAX_TEXT)
    wrong = wrong_value(text)
    if wrong is not None:
        raise _invalid(name, wrong)
    return text


def _text(found: Mapping[str, Any], name: str, most: int) -> str:
    text = found.get(name)
    if text is None:
        return ""
    if not isinstance(text, str) or len(text) > most:
        raise _invalid(name, f"has to be a text of at most {most} characters")
    return text


def _invalid(name: str, why: str) -> RpcError:
    return refusal(INVALID_PARAMS, f"Invalid parameters: {name!r} of a webhook {why}")
