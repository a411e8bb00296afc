from __future__ import annotations

import numpy as np
import pytest

from pointsman.ml.base import State
from pointsman.ml.statefile import pack, unpack

STATE = State({"a": np.arange(6.0).reshape(2, 3), "b": np.ones(2, np.float32)}, {"names": ["x\ny", "ü"], "count": 3})


def test_a_state_comes_back_as_it_was() -> None:
    again = unpack(pack(STATE))
    assert dict(again.settings) == STATE.settings
    assert set(again.arrays) == {"a", "b"}
    for name, array in STATE.arrays.items():
        np.testing.assert_array_equal(again.arrays[name], array)


def test_equal_states_are_equal_bytes() -> None:
    assert pack(STATE) == pack(
        State(dict(reversed(list(STATE.arrays.items()))), dict(reversed(list(STATE.settings.items()))))
    )


@pytest.mark.parametrize("cut", [0, 1, 10, 100, -1])
def test_what_is_cut_off_is_refused(cut: int) -> None:
    with pytest.raises(ValueError, match=r"cannot be read|cut off"):
        unpack(pack(STATE)[:cut])


def test_every_byte_counts() -> None:
    data = pack(STATE)
    for at in range(len(data)):
        spoilt = bytearray(data)
        spoilt[at] ^= 1
        with pytest.raises(ValueError, match=r"cannot be read|changed"):
            unpack(bytes(spoilt))


def test_something_else_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        unpack(b"{}\n")
    with pytest.raises(ValueError, match="changed"):
        unpack(b'{"format":"other","sha256":"","settings":{}}\n')
