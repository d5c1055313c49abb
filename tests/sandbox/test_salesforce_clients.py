"""Real HTTP: the given client library against the stand-in on a port."""

# ruff: noqa: S608 - SOQL for the stand-in, not SQL

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from requests.adapters import HTTPAdapter
from salesforce_api import row
from simple_salesforce import Salesforce
from simple_salesforce.exceptions import (
    SalesforceAuthenticationFailed,
    SalesforceExpiredSession,
    SalesforceMalformedRequest,
    SalesforceMoreThanOneRecord,
    SalesforceResourceNotFound,
)

from crmdrip.sandbox.http import Server, ServerThread
from crmdrip.sandbox.salesforce import SalesforceOrg
from crmdrip.sandbox.salesforce.org import DEFAULT_KEY, DEFAULT_SECRET
from crmdrip.sandbox.salesforce.trouble import TROUBLES

USERNAME = "crmdrip@acme.example"


class Loopback(HTTPAdapter):
    """Sends what is meant for the vendor's hosts to the stand-in's port, the Host header unchanged."""

    def __init__(self, target: str) -> None:
        super().__init__()
        self.target = urlsplit(target)

    def send(self, request, **options):
        """One request, to the other address."""
        sent = request.copy()
        url = urlsplit(request.url)
        sent.headers["Host"] = url.netloc
        sent.url = url._replace(scheme=self.target.scheme, netloc=self.target.netloc).geturl()
        options.update(verify=False, cert=None, proxies={}, timeout=10)
        return super().send(sent, **options)


@pytest.fixture
def org():
    """An org on the machine's clock."""
    # simple-salesforce takes the expiry of its tokens from the machine's clock.
    org = SalesforceOrg(lambda: datetime.now(UTC))
    yield org
    org.close()


@pytest.fixture
def served(org):
    """The org on a port, and a way to call it in the server's thread."""
    server = Server(org.handle)
    with ServerThread(server) as thread:
        yield server, thread
    assert server.errors == []


@pytest.fixture
def session(served):
    """A session that finds the vendor's hosts on the port."""
    session = requests.Session()
    session.trust_env = False
    for host in ("https://login.salesforce.com", "https://acme.my.salesforce.com"):
        session.mount(host, Loopback(served[0].url))
    yield session
    session.close()


@pytest.fixture
def sf(session):
    """The client library, signed in."""
    return Salesforce(
        consumer_key=DEFAULT_KEY, consumer_secret=DEFAULT_SECRET, domain="acme.my", session=session, version="64.0"
    )


def test_it_signs_in_by_client_credentials(sf):
    """The session it opens can read the limits, and usage is parsed from the header."""
    assert sf.limits()["DailyApiRequests"]["Max"] == 100_000
    assert sf.api_usage["api-usage"].used == 1


def test_it_signs_in_by_jwt(org, served, session):
    """Its expiry is text, and its token host the login host."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )  # fmt: skip
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    served[1].call(lambda: org.register_app("jwt-app", "", public_key=public, approved=[USERNAME]))
    sf = Salesforce(username=USERNAME, consumer_key="jwt-app", privatekey=private, session=session, version="64.0")
    assert sf.query("SELECT Id FROM Contact")["totalSize"] == 0


def test_a_wrong_secret_is_its_authentication_error(served, session):
    """With our description."""
    with pytest.raises(SalesforceAuthenticationFailed, match="invalid client credentials"):
        Salesforce(consumer_key=DEFAULT_KEY, consumer_secret="x", domain="acme.my", session=session)


def test_records_live_through_its_sobject_calls(sf):
    """Create, get, update, upsert, describe and delete."""
    made = sf.Contact.create({"LastName": "Bluth", "Email": "gob@x.example"})
    assert made["success"] is True
    assert sf.Contact.update(made["id"], {"Title": "CEO"}) == 204
    assert sf.Contact.get(made["id"])["Title"] == "CEO"
    assert sf.Task.upsert("Drip_Touch_Id__c/abc", {"Subject": "x"}) == 201
    assert sf.Task.upsert("Drip_Touch_Id__c/abc", {"Subject": "y"}) == 200
    assert sf.Contact.describe()["name"] == "Contact"
    assert "Contact" in {each["name"] for each in sf.describe()["sobjects"]}
    assert sf.Contact.delete(made["id"]) == 204
    with pytest.raises(SalesforceResourceNotFound):
        sf.Contact.get(made["id"])


def test_it_pages_through_everything(org, served, sf):
    """query_all follows every nextRecordsUrl, with + and quotes encoded on the way."""
    served[1].call(lambda: org.seed("Contact", [{"LastName": f"O'Brien+{n}"} for n in range(4_500)]))
    found = sf.query_all(r"SELECT Id, Name FROM Contact WHERE LastName LIKE 'O\'Brien+%' ORDER BY Id")
    assert (found["totalSize"], len(found["records"]), found["done"]) == (4_500, 4_500, True)


def test_it_reads_deleted_rows_by_query_all(org, served, sf):
    """include_deleted goes to queryAll."""
    contact = served[1].call(lambda: org.insert("Contact", {"LastName": "Gone"}))
    served[1].call(lambda: org.delete(contact))
    assert sf.query("SELECT Id FROM Contact")["totalSize"] == 0
    assert sf.query("SELECT Id FROM Contact WHERE IsDeleted = true", include_deleted=True)["totalSize"] == 1


def test_collections_go_through_restful(org, served, sf):
    """Row results come as they are."""
    contact = served[1].call(lambda: org.insert("Contact", {"LastName": "One"}))
    body = {"records": [row(contact, Title="x"), row(contact[:-1] + "B", Title="y")]}
    results = sf.restful("composite/sobjects", method="PATCH", json=body)
    assert [each["success"] for each in results] == [True, False]


def test_refusals_become_its_exceptions(org, served, sf):
    """400, 300 and 404 each have one."""
    with pytest.raises(SalesforceMalformedRequest, match="No such column 'Foo'"):
        sf.query("SELECT Foo FROM Contact")
    for _ in range(2):
        served[1].call(lambda: org.insert("Contact", {"LastName": "Same", "Email": "same@x.example"}))
    with pytest.raises(SalesforceMoreThanOneRecord):
        sf.Contact.upsert("Email/same@x.example", {"Title": "x"})


def test_an_expired_session_is_renewed_by_it(org, served, sf):
    """It signs in once more and repeats the request."""
    served[1].call(org.sessions.end_all)
    issued = org.sessions.tokens_issued
    assert sf.query("SELECT Id FROM Contact")["totalSize"] == 0
    assert org.sessions.tokens_issued == issued + 1


def test_a_session_that_was_only_given_is_not(org, served, session):
    """Then its error is SalesforceExpiredSession."""
    sf = Salesforce(session_id="nonsense", instance="acme.my.salesforce.com", session=session, version="64.0")
    with pytest.raises(SalesforceExpiredSession):
        sf.query("SELECT Id FROM Contact")


def test_a_cut_connection_reaches_the_client_as_one(org, served, sf):
    """And the row is there when the cut came after the commit."""
    served[1].call(lambda: org.faults.add(TROUBLES["cut_after_commit"]))
    with pytest.raises(requests.ConnectionError):
        sf.Contact.create({"LastName": "Kept"})
    assert sf.query("SELECT Id FROM Contact")["totalSize"] == 1


def test_an_over_long_url_is_refused_by_the_server(sf):
    """414 past 16,384 bytes: long id lists belong into a composite body."""
    ids = "','".join(f"003Dr0000{n:06}" for n in range(1_000))
    response = sf.session.get(f"{sf.base_url}query", params={"q": f"SELECT Id FROM Contact WHERE Id IN ('{ids}')"})
    assert response.status_code == 414
