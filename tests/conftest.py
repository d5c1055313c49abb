"""What holds for every test: none is judged by how fast the machine happens to be."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("crmdrip", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("crmdrip")
