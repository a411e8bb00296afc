from __future__ import annotations

import base64
from typing import Any

import pytest

from pointsman.wire.oauth import Mistrusted, Registered, Token, authenticated, method_for


def test_a_secret_is_shown_as_it_is_wanted() -> None:
    one = Registered(client_id="a:b", client_secret="c d", token_endpoint_auth_method="client_secret_basic")
    form, headers = authenticated(one, {"x": "y"})
    assert form == {"x": "y"}
    # RFC 6749, section 2.3.1
    assert base64.b64decode(headers["authorization"].removeprefix("Basic ")) == b"a%3Ab:c%20d"
    for method in ("private_key_jwt", "client_secret_post", "client_secret_basic"):
        with pytest.raises(Mistrusted, match="not possible"):
            authenticated(Registered(client_id="a", token_endpoint_auth_method=method), {})
    assert method_for(["private_key_jwt"], has_secret=True) == "none"


@pytest.mark.parametrize(
    ("told", "seconds"), [(60, 60.0), ("60", 60.0), (None, None), ("soon", None), (0, None), (-1, None)]
)
def test_how_long_a_token_lasts_may_not_be_known(told: Any, seconds: float | None) -> None:
    assert Token(access_token="x", expires_in=told).lasts() == seconds
