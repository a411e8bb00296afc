from __future__ import annotations

from pointsman.store.jumps import Jumps


class Clocks:
    def __init__(self) -> None:
        self.now = 0.0
        self.monotonic = 0.0
        self.jumps: Jumps[float] = Jumps(lambda offset: self.now + offset, lambda: self.monotonic)

    def look(self, passed: float, shown: float) -> bool:
        """After so many seconds, in which the clock went by so many; gives whether it was seen to have been set."""
        self.monotonic += passed
        self.now += shown
        assert self.jumps.time(0.5) == self.now + 0.5
        return self.jumps.is_within(60.0)


def test_a_clock_that_goes_is_not_one_that_is_set() -> None:
    clocks = Clocks()
    assert not clocks.look(0.0, 1_700_000_000.0)
    assert not any([clocks.look(5.0, 5.0), clocks.look(86_400.0, 86_400.0), clocks.look(1.0, 11.0)])
    # What goes wrong little by little is not set either.
    assert not any(clocks.look(60.0, 69.0) for _ in range(100))
    assert clocks.jumps.last is None


def test_a_clock_that_is_set_is_seen_for_as_long_as_is_asked() -> None:
    for jump in (-3_600.0, -10.1, 10.1, 3_600.0):
        clocks = Clocks()
        clocks.look(7.0, 1_000.0)
        assert clocks.look(0.0, jump)
        assert clocks.jumps.last == 7.0
        assert clocks.look(59.9, 59.9)
        assert not clocks.look(0.1, 0.1)
        assert clocks.jumps.is_within(60.1)
        assert clocks.look(0.0, -jump)
        assert clocks.jumps.last == 67.0


def test_a_process_that_was_stopped_sees_that_time_has_gone_by() -> None:
    clocks = Clocks()
    clocks.look(0.0, 1_000.0)
    assert clocks.look(0.0, 3_600.0)
