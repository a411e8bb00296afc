from __future__ import annotations

from unit.telemetry.showing import shown_by

from pointsman.telemetry.configured import configured
from pointsman.telemetry.counts import ConfigCounts


def test_the_config_in_force_is_told_and_what_became_of_others() -> None:
    counts = ConfigCounts(
        hash="0123",
        number=3,
        loaded=7.5,
        reloads=2,
        failures=1,
        is_broken=True,
        retiring=4,
        requests=9,
        unchanged=6,
        down=5,
    )
    assert shown_by(configured(counts)) == {
        "pointsman_config_info{hash=0123}": 1,
        "pointsman_config_number": 3,
        "pointsman_config_loaded_timestamp_seconds": 7.5,
        "pointsman_config_reloads_total": 2,
        "pointsman_config_failures_total": 1,
        "pointsman_config_broken": 1,
        "pointsman_config_retiring": 4,
        "pointsman_config_source_requests_total": 9,
        "pointsman_config_source_unchanged_total": 6,
        "pointsman_config_source_failures_total": 5,
    }
