"""Salesforce over TLS, as it speaks nothing else: whose certificate is trusted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError
from salesforce_peer import SalesforcePeer

from crmdrip.core.errors import RetriableError
from crmdrip.sandbox.certificate import make_certificate


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[SalesforcePeer]:
    """An org that speaks TLS alone."""
    peer = SalesforcePeer()
    peer.server.tls = make_certificate(tmp_path)[1]
    with peer:
        yield peer


def test_an_authority_of_ones_own_is_trusted_once_it_is_named(peer: SalesforcePeer, tmp_path: Path) -> None:
    """A company's proxy opens TLS and shows a certificate of its own."""
    client = peer.client(ca_file=tmp_path / "ca.pem")
    assert client.token.org_id == peer.org.org_id


def test_a_certificate_of_a_stranger_is_refused_with_what_to_type(peer: SalesforcePeer) -> None:
    """P7: what is sent to whoever answers in Salesforce's place would be people's data."""
    with pytest.raises(RetriableError, match="not trusted") as refused:
        _ = peer.client().token
    assert "[crm.salesforce] ca_file" in refused.value.do_next


def test_a_file_that_is_not_there_is_refused(peer: SalesforcePeer, tmp_path: Path) -> None:
    """Before anything is asked."""
    with pytest.raises(ValidationError, match="ca_file does not name a file"):
        peer.client(ca_file=tmp_path / "other.pem")


def test_a_file_without_certificates_is_refused(peer: SalesforcePeer, tmp_path: Path) -> None:
    """Named by mistake: the key in place of the certificate."""
    with pytest.raises(ValidationError, match="no certificate in it"):
        peer.client(ca_file=tmp_path / "key.pem")
