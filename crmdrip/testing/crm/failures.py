"""The contract of both ports when the CRM is away, refuses us or hides what must be seen (P4, B20, B26)."""

from __future__ import annotations

import pytest

from crmdrip.core.errors import AuthError, ConfigurationError, RateLimitedError, RetriableError
from crmdrip.core.model import RecordRef
from crmdrip.ports import CrmSink, CrmSource
from crmdrip.testing.crm.driver import CrmDriver, CrmTrouble
from crmdrip.testing.crm.reading import NO_PATHS, read_all
from crmdrip.testing.crm.suite import CrmSuite
from crmdrip.testing.crm.writing import status_write, write_all


class FailureContract(CrmSuite):
    """What goes wrong."""

    def test_an_ended_session_is_renewed(self, crm: CrmDriver, source: CrmSource, person: RecordRef) -> None:
        """A session that ended is replaced without anybody noticing."""
        cursor = read_all(source).cursor
        crm.trouble(CrmTrouble.LOGGED_OUT)
        assert person.id in source.look([person], NO_PATHS, cursor).records

    def test_refused_credentials_are_an_auth_error(self, crm: CrmDriver, source: CrmSource) -> None:
        """Credentials that are refused raise AuthError from every kind of reading."""
        crm.trouble(CrmTrouble.DENIED)
        with pytest.raises(AuthError):
            source.identity()
        with pytest.raises(AuthError):
            read_all(source)
        with pytest.raises(AuthError):
            source.look([], NO_PATHS, None)

    def test_a_crm_that_is_down_is_retriable(
        self, crm: CrmDriver, source: CrmSource, sink: CrmSink, person: RecordRef
    ) -> None:
        """P4: no last look, no pull and no write while the CRM is down; all of them work afterwards."""
        cursor = read_all(source).cursor
        crm.trouble(CrmTrouble.DOWN)
        with pytest.raises(RetriableError):
            source.look([person], NO_PATHS, cursor)
        with pytest.raises(RetriableError):
            read_all(source, cursor)
        with pytest.raises(RetriableError):
            write_all(sink, status_write(person))
        crm.recover()
        assert person.id in source.look([person], NO_PATHS, cursor).records

    def test_a_used_up_quota_is_rate_limited(
        self, crm: CrmDriver, source: CrmSource, sink: CrmSink, person: RecordRef
    ) -> None:
        """B20: the CRM's own limit raises RateLimitedError from reading and writing, and the cursor is still good."""
        cursor = read_all(source).cursor
        crm.trouble(CrmTrouble.QUOTA_GONE)
        with pytest.raises(RateLimitedError):
            read_all(source, cursor)
        with pytest.raises(RateLimitedError):
            write_all(sink, status_write(person))
        crm.recover()
        crm.change(person, email="new@acme.example")
        assert read_all(source, cursor).records[person.id].email == "new@acme.example"

    def test_a_hidden_opt_out_field_is_a_configuration_error(
        self, crm: CrmDriver, source: CrmSource, person: RecordRef
    ) -> None:
        """B26: without sight of the opt-out field there is no pull and no look; it works again once granted."""
        cursor = read_all(source).cursor
        crm.trouble(CrmTrouble.OPT_OUT_HIDDEN)
        with pytest.raises(ConfigurationError, match="opt-out"):
            source.look([person], NO_PATHS, cursor)
        with pytest.raises(ConfigurationError, match="opt-out"):
            read_all(source, cursor)
        crm.recover()
        assert person.id in source.look([person], NO_PATHS, cursor).records
