"""Data that crmdrip brings beside its code: mappings, and what is installed in each CRM."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path


def shipped(path: str) -> Traversable:
    """mappings/PATH, which need not be there: in the wheel, or in the source tree that an editable install uses."""
    package = files("crmdrip")
    in_wheel = package / "_mappings"
    return (in_wheel if in_wheel.is_dir() else Path(str(package)).parent / "mappings") / path
