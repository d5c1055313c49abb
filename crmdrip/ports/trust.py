"""Whose certificates a connector trusts, as its `ca_file` says."""

from __future__ import annotations

import ssl
from pathlib import Path

from crmdrip.core.errors import ConfigurationError


def check_ca_file(ca_file: Path | None) -> None:
    """For a validator of settings. Raises ValueError when there is no such file."""
    if ca_file is not None and not ca_file.is_file():
        raise ValueError("ca_file does not name a file")


def build_trust(ca_file: Path | None, where: str) -> ssl.SSLContext:
    """What TLS trusts: the certificates (PEM) in the file, the system's without one.

    where: the key of the configuration. Raises ConfigurationError when the file holds no certificate.
    """
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (ssl.SSLError, OSError) as error:
        raise ConfigurationError(
            "the certificates cannot be read.", where=where, do_next="Name a file with PEM certificates."
        ) from error
