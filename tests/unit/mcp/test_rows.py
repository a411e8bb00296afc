from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pointsman.mcp.rows import from_doc, to_doc
from pointsman.mcp.settings import AuthSettings, ServerSettings
from pointsman.store.entries import SEALED
from pointsman.store.sealing import CannotUnseal, Sealer
from pointsman.wire.secret import Secret

SEALER = Sealer(Secret("a salt that is long enough"))
PLAIN = ServerSettings(
    id="s",
    name="S",
    url="https://h/mcp",
    tools=("a",),
    allowed_params={"a": ("x",)},
    cost_usd={"*": "0.1"},
    metadata={"k": [1]},
    source="api",
)
SECRET = msgspec.structs.replace(
    PLAIN,
    auth=AuthSettings(kind="oauth2", client_id="c", client_secret=Secret("canary-1"), scopes=("x",)),
    static_headers={"x-key": "canary-2"},
)


def stored(server: ServerSettings, sealer: Sealer | None = SEALER) -> dict[str, Any]:
    """As the store gives it back."""
    doc: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(to_doc(server, sealer)))
    return doc


@pytest.mark.parametrize("server", [PLAIN, SECRET])
def test_what_is_stored_comes_back(server: ServerSettings) -> None:
    assert from_doc("s", stored(server), SEALER, {}) == server


@pytest.mark.requirement("mcp.credentials")
def test_what_is_secret_cannot_be_read_in_the_store_and_belongs_to_its_row() -> None:
    doc = stored(SECRET)
    assert "canary" not in str(doc)
    with pytest.raises(CannotUnseal):
        from_doc("t", doc, SEALER, {})
    with pytest.raises(CannotUnseal):
        from_doc("s", doc, None, {})
    with pytest.raises(CannotUnseal):
        to_doc(SECRET, None)


def test_what_has_no_secrets_needs_no_key() -> None:
    assert from_doc("s", stored(PLAIN, None), None, {}) == PLAIN


@pytest.mark.requirement("mcp.stdio-commands")
def test_a_command_is_what_the_config_says_at_the_moment_and_never_what_the_row_says() -> None:
    one = msgspec.structs.replace(PLAIN, transport="stdio", url="", command_name="t", command=("old",), env={"A": "b"})
    doc = stored(one) | {"command": ["rm"], "env": {"X": "y"}, "allow_private": True, "source": "config"}
    found = from_doc("s", doc, SEALER, {"t": ("new", "arg")})
    assert (found.command, found.env, found.allow_private, found.source) == (("new", "arg"), {}, False, "api")
    with pytest.raises(ValueError, match="stdio_commands"):
        from_doc("s", doc, SEALER, {"u": ("new",)})


@pytest.mark.parametrize("doc", [{}, {"name": 5}, {"name": "n", "auth": {"value": "not sealed"}}])
def test_what_somebody_else_has_written_is_refused(doc: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        from_doc("s", doc, SEALER, {})


def test_members_that_a_later_version_has_are_left_alone() -> None:
    assert from_doc("s", stored(PLAIN) | {"later": 1, "created_at": "x"}, SEALER, {}) == PLAIN
    assert SEALED not in stored(PLAIN)
