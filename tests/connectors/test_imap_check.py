"""The doctor's checks of a mailbox, and its way from config.toml."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from imap_mailboxes import SystemClock
from imap_server import PASSWORD, USERNAME, ImapServer
from pydantic import SecretStr

from connectors.imap import connector
from connectors.imap.settings import ImapSettings
from crmdrip.core.errors import ConfigurationError
from crmdrip.ports import CheckLevel, ConnectorContext, Role
from crmdrip.testing.mailbox import build_mail


@pytest.fixture
def server():
    """A server that does as it is told."""
    with ImapServer() as server:
        yield server


def context_of(port, **settings):
    """As the command line makes it."""
    known = {"username": USERNAME, "password": SecretStr(PASSWORD), "tls": "none", "host": "127.0.0.1", "port": port}
    return ConnectorContext(
        settings=ImapSettings(**{**known, **settings}), mapping=None, clock=SystemClock(), account="replies"
    )


def check(port, **settings):
    """Every result by its code."""
    results = list(connector.check(context_of(port, **settings)))
    return {result.code: result for result in results}


def test_a_good_account_passes(server):
    """Login, folder, IDLE and clock; in clear only because it is this machine."""
    server.deliver(build_mail(1))
    results = check(server.port)
    levels = {code: result.level for code, result in results.items()}
    assert levels == {
        "IMAP-CLEAR": CheckLevel.WARN,
        "IMAP-FOLDER": CheckLevel.OK,
        "IMAP-IDLE": CheckLevel.OK,
        "IMAP-CLOCK": CheckLevel.OK,
    }
    assert all("replies" in result.what for result in results.values())
    assert server.is_untouched()


def test_an_empty_folder_tells_nothing_of_the_clock(server):
    """IMAP has no clock but its emails'."""
    assert "IMAP-CLOCK" not in check(server.port)


def test_a_refused_login_says_so_and_nothing_else(server):
    """No attempt more than needed."""
    server.revoke()
    results = check(server.port, folders=("INBOX", "More"))
    assert results["IMAP-LOGIN"].level is CheckLevel.FAIL
    assert "app password" in results["IMAP-LOGIN"].do_next
    assert server.commands.count("AUTHENTICATE") == 1


def test_a_missing_folder_is_named_and_the_others_are_checked(server):
    """One wrong name hides nothing else."""
    results = list(connector.check(context_of(server.port, folders=("Nowhere", "INBOX"))))
    folders = [result for result in results if result.code == "IMAP-FOLDER"]
    assert [result.level for result in folders] == [CheckLevel.FAIL, CheckLevel.OK]
    assert "'Nowhere'" in folders[0].what


def test_no_idle_is_a_warning(server):
    """It works, and stops come later."""
    server.manners.capabilities = "IMAP4rev1"
    assert check(server.port)["IMAP-IDLE"].level is CheckLevel.WARN


def test_a_clock_that_is_off_is_a_warning(server):
    """B29: an answer that seems to come from the future."""
    server.deliver(build_mail(1), arrived_at=datetime.now(UTC) + timedelta(hours=1))
    assert check(server.port)["IMAP-CLOCK"].level is CheckLevel.WARN


def test_a_server_that_is_not_there_fails(server):
    """With where it was looked for."""
    server.stop()
    result = check(server.port)["IMAP-REACH"]
    assert result.level is CheckLevel.FAIL
    assert f"127.0.0.1:{server.port}" in result.what


def test_certificates_that_are_none_fail(server, tmp_path):
    """Before anything is connected to."""
    file = tmp_path / "ca.pem"
    file.write_text("nothing")
    assert list(check(server.port, ca_file=file)) == ["IMAP-CA"]
    assert server.commands == []


def test_it_reads_mailboxes_and_does_nothing_else(server):
    """One mailbox a folder; a mistake in config.toml is told as one."""
    context = context_of(server.port, folders=("INBOX", "Replies"))
    mailboxes = connector.build_mailboxes(context)
    assert [mailbox.name for mailbox in mailboxes] == ["replies", "replies/Replies"]
    assert {mailbox.source for mailbox in mailboxes} == {"imap:replies"}
    assert connector.role is Role.MAILBOX
    assert connector.build_feed(context) is None
    for build in (connector.build_source, connector.build_mailer, lambda one: connector.build_sink(one, None)):
        with pytest.raises(ConfigurationError):
            build(context)
    for mailbox in mailboxes:
        mailbox.close()
