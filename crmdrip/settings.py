"""What the tables of config.toml have in common, ours and the connectors': strictness, and what this machine is."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict


class StrictModel(BaseModel):
    """A table of settings: strict, frozen, without room for unknown keys, and silent about values in its errors."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False)


def is_loopback(host: str | None) -> bool:
    """Whether the host is this very machine, decided without a name look-up."""
    if host == "localhost":
        return True
    try:
        return ip_address(host or "").is_loopback
    except ValueError:
        return False


def is_stand_in(url: str) -> bool:
    """Whether the URL leads to this very machine, where only a stand-in of a vendor can be."""
    parts = urlsplit(url)
    return parts.scheme in ("http", "https") and is_loopback(parts.hostname)
