from __future__ import annotations

import pytest

from pointsman.access.caller import Gatekeeper
from pointsman.access.settings import AccessSettings
from pointsman.errors import Unauthenticated
from pointsman.wire.secret import Secret

KEY = "sk-master-0123456789"


def gatekeeper(**settings: str) -> Gatekeeper:
    return Gatekeeper(AccessSettings(master_key=Secret(KEY), key_header=settings.get("key_header")))


@pytest.mark.parametrize(
    "headers",
    [
        {b"authorization": b"Bearer " + KEY.encode()},
        {b"authorization": b"bearer  " + KEY.encode()},
        {b"authorization": KEY.encode()},
        {b"x-api-key": KEY.encode()},
        {b"api-key": KEY.encode()},
        {b"x-litellm-api-key": KEY.encode()},
        {b"x-litellm-api-key": b"Bearer " + KEY.encode()},
        {b"authorization": b"Bearer something-else", b"x-api-key": KEY.encode()},
    ],
)
def test_the_master_key_is_taken_from_each_customary_header(headers: dict[bytes, bytes]) -> None:
    assert gatekeeper().identify(headers).is_master


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {b"authorization": b""},
        {b"authorization": b"Bearer"},
        {b"authorization": b"Bearer "},
        {b"authorization": b"Bearer " + KEY.encode() + b"x"},
        {b"authorization": b"Bearer " + KEY.encode()[:-1]},
        {b"authorization": b"Bearer \xff\xfe"},
        {b"cookie": KEY.encode()},
    ],
)
def test_anything_else_is_a_stranger(headers: dict[bytes, bytes]) -> None:
    with pytest.raises(Unauthenticated) as raised:
        gatekeeper().identify(headers)
    assert raised.value.message == "Invalid API key"


def test_an_operator_may_name_one_more_header() -> None:
    keeper = gatekeeper(key_header="X-Company-Key")
    assert keeper.identify({b"x-company-key": KEY.encode()}).is_master


def test_without_a_master_key_everybody_is_the_master() -> None:
    keeper = Gatekeeper(AccessSettings())
    assert keeper.is_open
    assert keeper.identify({}).is_master
