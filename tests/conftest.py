"""What holds for all tests."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# How long something takes says how busy the machine is, and nothing about what is tested.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
