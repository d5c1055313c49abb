"""The demo's own configuration: the sandbox's addresses and constants, read like any other config.toml."""

from __future__ import annotations

from pathlib import Path

from crmdrip.config import Settings, load
from crmdrip.demo.stage import Wires

_TEXT = """\
{crm}
[mail.sendgrid]
api_key = "SG.sandbox.sandbox-secret"
base_url = "{sendgrid}"
event_keys = ["{event_key}"]
inbound_keys = ["{inbound_key}"]
[replies]
domain = "{domain}"
[sender]
company = "Acme"
postal_address = "1 Example Street, London N1 1AA, United Kingdom"
[unsubscribe]
base_url = "http://127.0.0.1:{port}/u"
keys = ["sandbox-unsubscribe-key"]
[safety]
in_doubt_deadline_hours = 6
"""
"""Doubts end sooner than by default: nobody waits three days for those of a demo."""


def write_settings(folder: Path, *, crm: str, sendgrid: str, port: int, wires: Wires) -> Settings:
    """Write config.toml into the folder and load it. Raises ConfigProblems.

    crm: the lines of [crm]. port: where the demo's door listens.
    """
    path = folder / "config.toml"
    text = _TEXT.format(
        crm=crm,
        sendgrid=sendgrid,
        port=port,
        domain=wires.domain,
        event_key=wires.event_key,
        inbound_key=wires.inbound_key,
    )
    path.write_text(text, encoding="utf-8")
    return load(path, env={})
