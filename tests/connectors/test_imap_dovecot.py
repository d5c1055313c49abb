"""The IMAP mailbox keeps the Mailbox port's promises against a real Dovecot, also over TLS."""

from __future__ import annotations

from contextlib import closing

import pytest
from dovecot_server import PASSWORD, USERNAME, DovecotServer, why_not
from imap_mailboxes import build_mailbox
from pydantic import SecretStr

from crmdrip.core.errors import RetriableError
from crmdrip.sandbox.certificate import make_certificate
from crmdrip.testing.mailbox import MailboxContract, build_mail, drain_all

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())


class TestAgainstDovecot(MailboxContract):
    """Every promise of the port."""

    @pytest.fixture
    def server(self):
        """The other side."""
        with DovecotServer() as server:
            yield server

    @pytest.fixture
    def build(self, server):
        """Another mailbox each time."""
        return lambda: build_mailbox(server.port, username=USERNAME, password=SecretStr(PASSWORD))


@pytest.fixture
def secured(tmp_path):
    """A Dovecot with a certificate, and the certificate to trust."""
    ca_file, _ = make_certificate(tmp_path)
    with DovecotServer(ca_file=ca_file, key_file=tmp_path / "key.pem") as server:
        yield server, ca_file


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
def test_mail_is_read_and_heard_over_tls(secured, tls):
    """Both ways of protecting a connection, with IDLE on top of it."""
    server, ca_file = secured
    port = server.tls_port if tls == "implicit" else server.port
    known = {"username": USERNAME, "password": SecretStr(PASSWORD), "tls": tls, "ca_file": ca_file}
    with closing(build_mailbox(port, **known)) as mailbox:
        _, cursor = drain_all(mailbox)
        server.deliver(build_mail(1))
        mailbox.rest()
        mails, _ = drain_all(mailbox, cursor)
    assert [mail.body for mail in mails] == [build_mail(1)]


def test_a_certificate_that_nobody_vouches_for_is_refused(secured):
    """A stranger in between gets neither the password nor the answers."""
    server, _ = secured
    known = {"username": USERNAME, "password": SecretStr(PASSWORD), "tls": "implicit"}
    with closing(build_mailbox(server.tls_port, **known)) as mailbox, pytest.raises(RetriableError, match="TLS failed"):
        drain_all(mailbox)
