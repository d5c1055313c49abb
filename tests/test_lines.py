"""A request that was given up never arrives: the kernel gives up before its user does (P3, P4)."""

from __future__ import annotations

import socket

import pytest

from connectors.hubspot.client import HubSpotClient
from connectors.hubspot.settings import HubSpotSettings
from connectors.salesforce.settings import SalesforceSettings
from connectors.salesforce.transport import open_session
from connectors.sendgrid.client import SendGridClient
from connectors.sendgrid.settings import SendGridSettings
from crmdrip.assembly import WallClock
from crmdrip.ports.lines import AWAY, give_up

pytestmark = pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="this system has no such option")


def milliseconds(options: list[tuple[int, int, int]]) -> list[int]:
    """What the options say of it."""
    return [value for level, name, value in options if (level, name) == (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)]


@pytest.mark.parametrize(("timeout", "expected"), [(4.0, 2_000), (30.0, 15_000), (120.0, 1_000 * AWAY)])
def test_the_kernel_gives_up_before_whoever_waits_for_an_answer(timeout: float, expected: float) -> None:
    """And after twenty seconds at the latest."""
    assert milliseconds(give_up(timeout)) == [expected]


def options_of(pool: object) -> list[tuple[int, int, int]]:
    """Those of each connection that a pool of urllib3 makes."""
    found: list[tuple[int, int, int]] = pool.connection_pool_kw["socket_options"]  # type: ignore[attr-defined] # urllib3's own
    return found


class TestConnectors:
    """Whatever is written, sent or asked: each vendor's connections give up."""

    def test_salesforce(self) -> None:
        """A status that was cut off in its middle is not written over the next one."""
        credentials = {"client_credentials": {"consumer_key": "key", "consumer_secret": "secret"}}
        settings = SalesforceSettings.model_validate({"domain": "acme.my", "auth": credentials, "read_timeout": 10})
        with open_session(settings) as session:
            pool = session.get_adapter("https://acme.my.salesforce.com").poolmanager  # type: ignore[attr-defined] # of HTTPAdapter
            assert milliseconds(options_of(pool)) == [5_000]

    def test_hubspot(self) -> None:
        """The same."""
        settings = HubSpotSettings.model_validate({"auth": {"token": "pat-eu1-x"}, "read_timeout": 10})
        client = HubSpotClient(settings, WallClock())
        assert milliseconds(options_of(client._api.rest_client.pool_manager)) == [5_000]

    def test_sendgrid(self) -> None:
        """What asks the log; what sends is seen in tests/cluster/test_cuts.py."""
        client = SendGridClient(SendGridSettings.model_validate({"api_key": "SG.a.b"}), WallClock())
        assert milliseconds(options_of(client._pool)) == [10_000]


def test_a_socket_takes_the_option() -> None:
    """As the system understands it."""
    with socket.socket() as line:
        for option in give_up(4.0):
            line.setsockopt(*option)
        assert line.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 2_000
