"""What clients of a registry have added, as rows: what is secret of an entry is sealed, as one text, for its row alone.

An entry is a struct of settings with ``id``, ``source``, ``static_headers`` and ``auth``, whose ``value`` and
``client_secret`` are secrets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeVar

import msgspec

from pointsman.store.sealing import CannotUnseal, Sealer
from pointsman.wire.secret import Secret

SEALED: Final = "sealed"
T = TypeVar("T")


class Secrets(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is sealed of an entry."""

    value: str | None = None
    client_secret: str | None = None
    static_headers: Mapping[str, str] = {}


def to_doc(table: str, entry: Any, sealer: Sealer | None, *, but: Iterable[str]) -> dict[str, Any]:
    """The document of a row, without the members ``but``.

    :raises CannotUnseal: there are secrets, and nothing to seal them with
    """
    auth = entry.auth
    secrets = Secrets(
        value=None if auth.value is None else auth.value.reveal(),
        client_secret=None if auth.client_secret is None else auth.client_secret.reveal(),
        static_headers=entry.static_headers,
    )
    bare = msgspec.structs.replace(entry, auth=msgspec.structs.replace(auth, value=None, client_secret=None))
    doc: dict[str, Any] = msgspec.to_builtins(bare)
    for name in _left_out(but):
        del doc[name]
    if secrets != Secrets():
        if sealer is None:
            raise CannotUnseal("there is nothing to seal credentials with")
        doc[SEALED] = sealer.seal(msgspec.json.encode(secrets).decode(), f"{table}/{entry.id}")
    return doc


def from_doc(
    table: str, row_id: str, doc: Mapping[str, Any], kind: type[T], sealer: Sealer | None, *, but: Iterable[str]
) -> T:
    """An entry again; the members ``but`` are what they are by default.

    :raises CannotUnseal: its credentials cannot be read
    :raises ValueError: somebody else has written it
    """
    left_out = {*_left_out(but), SEALED}
    plain = {name: value for name, value in doc.items() if name not in left_out}
    entry: Any = msgspec.convert({**plain, "id": row_id, "source": "api"}, kind, dec_hook=_secret)
    secrets = Secrets()
    if SEALED in doc:
        if sealer is None:
            raise CannotUnseal("there is nothing to unseal credentials with")
        secrets = msgspec.json.decode(sealer.unseal(doc[SEALED], f"{table}/{row_id}").reveal(), type=Secrets)
    value, client_secret = _maybe(secrets.value), _maybe(secrets.client_secret)
    auth = msgspec.structs.replace(entry.auth, value=value, client_secret=client_secret)
    found: T = msgspec.structs.replace(entry, auth=auth, static_headers=secrets.static_headers)
    return found


def _left_out(but: Iterable[str]) -> tuple[str, ...]:
    """What the row's id says, what only the config says, and what is sealed."""
    return ("id", "source", "static_headers", *but)


def _maybe(text: str | None) -> Secret | None:
    return None if text is None else Secret(text)


def _secret(kind: type, _value: object) -> Any:
    # Only sealed texts become secrets.
    raise ValueError(f"a row holds a {kind.__name__} that is not sealed")
