from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from pointsman.store.entries import SEALED, from_doc, to_doc
from pointsman.store.sealing import CannotUnseal, Sealer
from pointsman.wire.secret import Secret

SEALER = Sealer(Secret("a salt that is long enough"))


class Auth(msgspec.Struct, frozen=True, kw_only=True):
    kind: str = "none"
    value: Secret | None = None
    client_secret: Secret | None = None


class Thing(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    name: str
    source: str = "api"
    auth: Auth = Auth()
    static_headers: Mapping[str, str] = {}
    place: str = "here"


PLAIN = Thing(id="t", name="T")
SECRET = Thing(
    id="t",
    name="T",
    auth=Auth(kind="x", value=Secret("canary-1"), client_secret=Secret("canary-2")),
    static_headers={"x-key": "canary-3"},
)


def stored(thing: Thing, sealer: Sealer | None = SEALER) -> dict[str, Any]:
    """As the store gives it back."""
    doc: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(to_doc("things", thing, sealer, but=("place",))))
    return doc


def read(doc: Mapping[str, Any], row_id: str = "t", sealer: Sealer | None = SEALER) -> Thing:
    return from_doc("things", row_id, doc, Thing, sealer, but=("place",))


@pytest.mark.parametrize("thing", [PLAIN, SECRET])
def test_what_is_stored_comes_back(thing: Thing) -> None:
    assert read(stored(thing)) == thing


def test_what_is_secret_cannot_be_read_in_the_store_and_belongs_to_its_row() -> None:
    doc = stored(SECRET)
    assert "canary" not in str(doc)
    assert set(doc) == {"name", "auth", SEALED}
    for row_id, sealer in (("other", SEALER), ("t", None), ("t", Sealer(Secret("another salt, long enough")))):
        with pytest.raises(CannotUnseal):
            read(doc, row_id, sealer)
    with pytest.raises(CannotUnseal):
        to_doc("things", SECRET, None, but=())


def test_what_has_no_secrets_needs_no_key() -> None:
    assert read(stored(PLAIN, None), sealer=None) == PLAIN


def test_what_only_the_config_says_is_not_taken_from_a_row() -> None:
    found = read(stored(PLAIN) | {"place": "elsewhere", "source": "config", "id": "x", "static_headers": {"a": "b"}})
    assert found == PLAIN


@pytest.mark.parametrize("doc", [{}, {"name": 5}, {"name": "n", "auth": {"value": "not sealed"}}])
def test_what_somebody_else_has_written_is_refused(doc: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read(doc)
