"""Servers of the registry as they are stored: what is secret of them is sealed, as one text, for their row alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from pointsman.mcp.settings import ServerSettings
from pointsman.store.sealing import CannotUnseal, Sealer
from pointsman.wire.secret import Secret

TABLE: Final = "mcp_servers"
SEALED: Final = "sealed"
_NOT_STORED: Final = ("id", "source", "command", "env", "static_headers", "allow_private")
"""What the row's id says, what comes from the config, and what is sealed."""


class Secrets(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is sealed of a server."""

    value: str | None = None
    client_secret: str | None = None
    static_headers: Mapping[str, str] = {}


def to_doc(server: ServerSettings, sealer: Sealer | None) -> dict[str, Any]:
    """:raises CannotUnseal: there are secrets, and nothing to seal them with"""
    auth = server.auth
    secrets = Secrets(
        value=None if auth.value is None else auth.value.reveal(),
        client_secret=None if auth.client_secret is None else auth.client_secret.reveal(),
        static_headers=server.static_headers,
    )
    bare = msgspec.structs.replace(server, auth=msgspec.structs.replace(auth, value=None, client_secret=None))
    doc: dict[str, Any] = msgspec.to_builtins(bare)
    for name in _NOT_STORED:
        del doc[name]
    if secrets != Secrets():
        if sealer is None:
            raise CannotUnseal("there is nothing to seal credentials with")
        doc[SEALED] = sealer.seal(msgspec.json.encode(secrets).decode(), _context(server.id))
    return doc


def from_doc(
    server_id: str, doc: Mapping[str, Any], sealer: Sealer | None, commands: Mapping[str, tuple[str, ...]]
) -> ServerSettings:
    """A server again; ``commands`` are those that may be started, by name.

    :raises CannotUnseal: its credentials cannot be read
    :raises ValueError: somebody else has written it, or its command may not be started any more
    """
    plain = {name: value for name, value in doc.items() if name not in _NOT_STORED and name != SEALED}
    server = msgspec.convert({**plain, "id": server_id, "source": "api"}, ServerSettings, dec_hook=_secret)
    secrets = Secrets()
    if SEALED in doc:
        if sealer is None:
            raise CannotUnseal("there is nothing to unseal credentials with")
        secrets = msgspec.json.decode(sealer.unseal(doc[SEALED], _context(server_id)).reveal(), type=Secrets)
    command: tuple[str, ...] = ()
    if server.transport == "stdio":
        if server.command_name not in commands:
            raise ValueError(f"mcp.stdio_commands has no {server.command_name!r}")
        command = commands[server.command_name]
    auth = msgspec.structs.replace(
        server.auth, value=_maybe(secrets.value), client_secret=_maybe(secrets.client_secret)
    )
    return msgspec.structs.replace(server, auth=auth, static_headers=secrets.static_headers, command=command)


def _context(server_id: str) -> str:
    return f"{TABLE}/{server_id}"


def _maybe(text: str | None) -> Secret | None:
    return None if text is None else Secret(text)


def _secret(kind: type, _value: object) -> Any:
    # Only sealed texts become secrets.
    raise ValueError(f"a row holds a {kind.__name__} that is not sealed")
