"""Secrets are in memory and nowhere else: not printed, not logged, not in the ledger, not in the process list."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from office import Office

from crmdrip.commands.failure import DEBUG, explain
from crmdrip.sandbox.faults import Fault, FaultKind

SECRETS = {
    "SALESFORCE_SECRET": "sf-consumer-secret-5b1f0c",
    "SENDGRID_KEY": "SG.kept0000.sendgrid-secret-91d2aa",
    "UNSUBSCRIBE_KEY": "unsubscribe-key-77c04e0a1b2c3d4e",
    "HINT_SECRET": "hint-secret-3f9e1d5b7a",
}


@pytest.fixture
def office(office: Office) -> Office:
    """One whose configuration names its secrets, and whose vendors know them."""
    text = office.config.read_text("utf-8")
    for constant, name in (
        ("sandbox-consumer-secret", "SALESFORCE_SECRET"),
        ("SG.sandbox.sandbox-secret", "SENDGRID_KEY"),
        ("sandbox-unsubscribe-key", "UNSUBSCRIBE_KEY"),
    ):
        text = text.replace(f'"{constant}"', f'{{ env = "{name}" }}')
    text = text.replace("[web]\n", '[web]\nhint_secrets = [{ env = "HINT_SECRET" }]\n')
    text = text.replace('level = "error"', 'level = "debug"')
    office.config.write_text(text, "utf-8")
    org, account = office.sandbox.org, office.sandbox.account
    office.sandbox.call(
        lambda: org.register_app("sandbox-consumer-key", SECRETS["SALESFORCE_SECRET"], run_as=org.integration_user_id)
    )
    (key,) = account._keys.values()
    account._keys = {f"Bearer {SECRETS['SENDGRID_KEY']}": key}
    return office


def _type(office: Office, *arguments: str) -> tuple[int, str]:
    """Exit code, and everything that was printed."""
    done = subprocess.run(
        [sys.executable, "-m", "crmdrip.cli", *arguments],
        cwd=office.folder,
        env={**os.environ, **SECRETS},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def _leaks(text: str) -> list[str]:
    parts = {name: {value, value.rpartition(".")[2]} for name, value in SECRETS.items()}
    return [name for name, values in parts.items() if any(value in text for value in values)]


def test_no_command_prints_a_secret(office: Office) -> None:
    """At the most talkative level, when all is well."""
    office.ticked(2)
    printed = {name: _type(office, *name.split()) for name in ("doctor", "once", "status", "status --json", "plan")}
    assert {name: code for name, (code, _) in printed.items()} == dict.fromkeys(printed, 0)
    assert {name: _leaks(text) for name, (_, text) in printed.items()} == {name: [] for name in printed}
    assert len(office.sent()) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 500])
def test_no_error_prints_a_secret(office: Office, status: int) -> None:
    """Even if the vendor's answer repeats what it was asked with."""
    office.ticked(2)
    echo = " ".join(SECRETS.values())
    for where, path in ((office.sandbox.org, "/"), (office.sandbox.account, "/v3/")):
        fault = Fault(kind=FaultKind.ANSWER, path=path, status=status, body=f'{{"error":"{echo}"}}', times=None)
        office.sandbox.call(lambda faults=where.faults, fault=fault: faults.add(fault))
    printed = {name: _type(office, name)[1] for name in ("doctor", "once")}
    assert {name: _leaks(text) for name, text in printed.items()} == {"doctor": [], "once": []}


def test_a_mistake_in_the_configuration_does_not_repeat_the_secret(office: Office) -> None:
    """It is named by its place."""
    text = office.config.read_text("utf-8").replace('{ env = "SENDGRID_KEY" }', f'["{SECRETS["SENDGRID_KEY"]}"]')
    office.config.write_text(text, "utf-8")
    code, printed = _type(office, "doctor")
    assert (code, _leaks(printed)) == (1, [])
    assert "api_key" in printed


def test_the_ledger_holds_no_secret(office: Office) -> None:
    """Nor what the vendors gave for it."""
    office.ticked(2)
    assert _type(office, "once")[0] == 0
    held = b"".join(file.read_bytes() for file in office.folder.glob("crmdrip.sqlite3*"))
    tokens = [token.encode() for token in office.sandbox.org.sessions._sessions]
    assert tokens
    assert [secret for secret in (*[value.encode() for value in SECRETS.values()], *tokens) if secret in held] == []


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="the process list is read from /proc")
def test_the_process_list_shows_no_secret(office: Office) -> None:
    """Commands take no secret as an argument, and set none."""
    process = subprocess.Popen(
        [sys.executable, "-m", "crmdrip.cli", "run"],
        cwd=office.folder,
        env={**os.environ, **SECRETS},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        shown = Path(f"/proc/{process.pid}/cmdline").read_text("utf-8")
    finally:
        process.kill()
        process.wait()
    assert _leaks(shown) == []


def test_a_traceback_that_is_asked_for_shows_no_secret(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is made to be reported; causes hold the addresses of databases, and of people."""
    monkeypatch.setenv(DEBUG, "1")
    error = RuntimeError("Authorization: Bearer abc123def456ghi789")
    error.__cause__ = ValueError("connection to postgresql://crm:pass-word-91d2@db/x failed for ann@acme.example")
    explain(error)
    printed = capsys.readouterr().err
    assert "ValueError" in printed
    assert [secret for secret in ("pass-word-91d2", "abc123def456ghi789", "ann@acme") if secret in printed] == []
