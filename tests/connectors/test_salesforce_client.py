"""Sessions, calls, errors and the budget of the Salesforce client, over HTTP against the stand-in."""

from __future__ import annotations

import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import SecretStr, ValidationError
from salesforce_driver import SalesforceDriver, error_body
from salesforce_peer import SalesforcePeer

from connectors.salesforce.client import Part, read_usage
from connectors.salesforce.settings import Auth, ClientCredentials, ExistingSession, JwtBearer, SalesforceSettings
from crmdrip.core.errors import AuthError, ConfigurationError, RateLimitedError, RetriableError
from crmdrip.core.model import RecordKind
from crmdrip.ports import Purpose
from crmdrip.sandbox.faults import Fault, FaultKind
from crmdrip.testing.crm import CrmTrouble, read_all, status_write, write_all

LIMITS = [Part(name="who", path="sobjects/Contact")]


@pytest.fixture
def peer():
    with SalesforcePeer() as peer:
        yield peer


def _make_key() -> tuple[str, bytes]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public


# --- logging in -----------------------------------------------------------------------------------------------------


def test_client_credentials_log_in_and_name_the_org(peer) -> None:
    """The token's answer says which org it is and who we are (B25)."""
    token = peer.client().token
    assert token.org_id == peer.org.org_id
    assert token.user_id == peer.org.integration_user_id
    assert token.access_token not in repr(token)


@pytest.mark.parametrize("domain", ["acme.my", "login"])
def test_a_signed_assertion_logs_in(peer, domain) -> None:
    """JWT bearer, at My Domain and at the common login host, for a user approved by the admin."""
    private, public = _make_key()
    peer.do("register_app", "jwt.key", "s", public_key=public, approved=["crmdrip@acme.example"])
    bearer = JwtBearer(consumer_key="jwt.key", username="crmdrip@acme.example", private_key=SecretStr(private))
    client = peer.client(auth=Auth(jwt_bearer=bearer), domain=domain)
    assert client.token.user_id == peer.org.integration_user_id


def test_an_unapproved_user_is_told_what_to_do(peer) -> None:
    """JWT bearer without the admin's approval is an AuthError that says how to approve."""
    private, public = _make_key()
    peer.do("register_app", "jwt.key", "s", public_key=public)
    bearer = JwtBearer(consumer_key="jwt.key", username="crmdrip@acme.example", private_key=SecretStr(private))
    with pytest.raises(AuthError, match="permission set"):
        _ = peer.client(auth=Auth(jwt_bearer=bearer)).token


@pytest.mark.parametrize(
    ("error", "text", "advice"),
    [
        ("invalid_grant", "ip restricted", "Login IP Ranges"),
        ("inactive_user", "user is inactive", "unfreeze"),
        ("invalid_app_access", "user is not admin approved to access this app", "Approve the user"),
        ("inactive_org", "organization is locked, closed or suspended", "Salesforce Support"),
    ],
)
def test_a_refused_login_says_what_the_admin_changes(peer, error, text, advice) -> None:
    """What a security review leaves behind: address ranges, frozen users, apps for approved users only."""
    body = orjson.dumps({"error": error, "error_description": text}).decode()
    peer.org.faults.add(Fault(kind=FaultKind.ANSWER, path="/oauth2/token", status=400, body=body))
    with pytest.raises(AuthError, match=advice):
        _ = peer.client().token


@pytest.mark.parametrize(
    ("error", "raised"), [("rate_limit_exceeded", RateLimitedError), ("temporarily_unavailable", RetriableError)]
)
def test_a_login_that_has_to_wait_is_no_wrong_password(peer, error, raised) -> None:
    """B20: nothing is to be mended."""
    body = orjson.dumps({"error": error, "error_description": "try again"}).decode()
    peer.org.faults.add(Fault(kind=FaultKind.ANSWER, path="/oauth2/token", status=400, body=body))
    with pytest.raises(raised):
        _ = peer.client().token


def test_a_renamed_my_domain_is_followed_by_a_login(peer) -> None:
    """An assertion at the common login host: the next login tells the new host, and reads and writes go on."""
    private, public = _make_key()
    peer.do("register_app", "jwt.key", "s", public_key=public, approved=["crmdrip@acme.example"])
    bearer = JwtBearer(consumer_key="jwt.key", username="crmdrip@acme.example", private_key=SecretStr(private))
    source = peer.source(auth=Auth(jwt_bearer=bearer), domain="login")
    before = source.identity()
    peer.do("rename_my_domain", "beta.my.salesforce.com")
    source.org.forget_schema()
    assert source.identity() == before
    assert source.org.client.token.host == "beta.my.salesforce.com"


def test_a_renamed_my_domain_that_is_configured_is_named(peer) -> None:
    """Client credentials log in at My Domain itself: the line to change is told."""
    source = peer.source()
    source.identity()
    peer.do("rename_my_domain", "beta.my.salesforce.com")
    source.org.forget_schema()
    with pytest.raises(ConfigurationError, match=r'Set domain = "beta\.my"'):
        source.identity()


def test_a_key_that_is_none_is_a_configuration_error(peer) -> None:
    """A private key that cannot be read is named without quoting it."""
    bearer = JwtBearer(consumer_key="k", username="u", private_key=SecretStr("hunter2"))
    with pytest.raises(ConfigurationError, match="PEM") as caught:
        _ = peer.client(auth=Auth(jwt_bearer=bearer)).token
    assert "hunter2" not in str(caught.value)


def test_an_existing_session_works_and_cannot_be_renewed(peer) -> None:
    """A session for trials: used as it is; once it has ended that is an AuthError."""
    session_id = peer.thread.call(lambda: peer.org.sessions.open(peer.org.integration_user_id))
    session = ExistingSession(session_id=SecretStr(session_id), instance_url="https://acme.my.salesforce.com")
    source = peer.source(auth=Auth(session=session), domain="")
    assert source.identity().org_id == peer.org.org_id
    assert source.org.client.token.org_id == peer.org.org_id[:15]
    peer.thread.call(peer.org.sessions.end_all)
    with pytest.raises(AuthError):
        read_all(source)


def test_a_session_that_never_works_is_renewed_once(peer) -> None:
    """One refresh per 401, never a loop: two requests and one further login, then AuthError."""
    client = peer.client()
    assert client.token
    peer.org.faults.add(
        Fault(kind=FaultKind.ANSWER, path="/data/", times=None, status=401, body=error_body("INVALID_SESSION_ID", "x"))
    )
    with pytest.raises(AuthError):
        client.read(LIMITS, Purpose.PULL)
    assert len(peer.org.faults.played) == 2
    assert peer.org.sessions.tokens_issued == 2


@pytest.mark.parametrize("body", ["<html>please log in</html>", '{"error":"gone"}', ""])
def test_a_401_of_any_shape_is_renewed(peer, body) -> None:
    """HTML and dict bodies, on which the library itself fails, are a session that ended like any other."""
    client = peer.client()
    peer.org.faults.add(Fault(kind=FaultKind.ANSWER, path="/data/", status=401, body=body))
    assert client.read(LIMITS, Purpose.PULL).body("who")["objectDescribe"]["name"] == "Contact"


# --- calls ----------------------------------------------------------------------------------------------------------


def test_thirty_light_parts_are_two_calls_and_six_heavy_ones_too(peer) -> None:
    """25 requests per composite call, five queries among them; every part is answered."""
    client = peer.client()
    light = [Part(name=f"p{n}", path="sobjects/Contact") for n in range(30)]
    assert len(client.read(light, Purpose.PULL).parts) == 30
    assert peer.calls() == 2
    heavy = [Part(name=f"q{n}", path="query/?q=SELECT%20Id%20FROM%20Contact") for n in range(6)]
    assert all(answer.fault is None for answer in client.read(heavy, Purpose.PULL).parts.values())
    assert peer.calls() == 4


def test_a_read_is_tried_again_after_a_passing_failure(peer) -> None:
    """503 and a cut connection in a row: the third try answers."""
    client = peer.client()
    peer.org.faults.add(
        Fault(kind=FaultKind.ANSWER, path="/composite", status=503), Fault(kind=FaultKind.CUT, path="/composite")
    )
    assert client.read(LIMITS, Purpose.PULL).parts["who"].fault is None


def test_a_write_is_sent_once(peer) -> None:
    """The client never repeats a write by itself."""
    client = peer.client()
    peer.org.faults.add(Fault(kind=FaultKind.ANSWER, path="/composite", times=None, status=503))
    with pytest.raises(RetriableError):
        client.write(LIMITS, Purpose.REPORT)
    assert len(peer.org.faults.played) == 1


def test_a_slow_answer_is_retriable(peer) -> None:
    """Every request has a time-out."""
    client = peer.client(read_timeout=0.05)
    assert client.token
    peer.org.faults.add(Fault(kind=FaultKind.SLOW, path="/composite", times=None, delay=0.5))
    with pytest.raises(RetriableError, match="ReadTimeout"):
        client.read(LIMITS, Purpose.PULL)


def test_a_503_with_a_time_is_rate_limited_until_then(peer) -> None:
    """B20: Retry-After is honoured where there is one."""
    client = peer.client()
    fault = Fault(kind=FaultKind.ANSWER, path="/composite", times=None, status=503, headers={"Retry-After": "40"})
    peer.org.faults.add(fault)
    with pytest.raises(RateLimitedError) as caught:
        client.read(LIMITS, Purpose.PULL)
    assert caught.value.retry_after == 40


def test_an_error_shows_neither_query_nor_address(peer) -> None:
    """What is raised goes into logs: no SOQL, no email address."""
    source = peer.source()
    source.identity()
    message = (
        "\nWHERE Email = 'ann@acme.example'\n   ^\nERROR at Row:1:Column:8\nNo such column 'X' for ann@acme.example"
    )
    body = orjson.dumps([{"errorCode": "MALFORMED_QUERY", "message": message}]).decode()
    peer.org.faults.add(Fault(kind=FaultKind.ANSWER, path="/composite", times=None, status=400, body=body))
    with pytest.raises(ConfigurationError) as caught:
        source.find("ann@acme.example")
    assert "No such column 'X'" in str(caught.value)
    assert "acme.example" not in str(caught.value)
    assert "WHERE" not in str(caught.value)


def test_an_org_that_refuses_collections_inside_composite_gets_them_alone(peer) -> None:
    """The refusal is met once and remembered; the last look still works."""
    crm = SalesforceDriver(peer)
    person = crm.add_person(RecordKind.CONTACT, email="ann@acme.example")
    source = peer.source()
    source.identity()

    def refuse(request):
        if b"/composite/sobjects/Contact" not in request.body:
            return None
        names = [one["referenceId"] for one in orjson.loads(request.body)["compositeRequest"]]
        error = [{"errorCode": "NOT_FOUND", "message": "The requested resource does not exist"}]
        parts = [{"body": error, "httpHeaders": {}, "httpStatusCode": 404, "referenceId": name} for name in names]
        return Fault(kind=FaultKind.ANSWER, status=200, body=orjson.dumps({"compositeResponse": parts}).decode())

    peer.org.faults.predicate = refuse
    for _ in range(2):
        assert source.look([person], frozenset(), None).records[person.id].email == "ann@acme.example"
    assert len(peer.org.faults.played) == 1


# --- budget ---------------------------------------------------------------------------------------------------------


def test_the_orgs_own_count_is_read(peer) -> None:
    """P5: used and limit come from the header of every answer."""
    source = peer.source()
    source.identity()
    budget = source.budget()
    assert (budget.used, budget.limit, budget.calls_made) == (1, 100_000, 1)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("api-usage=18/5000", (18, 5000)),
        ("api-usage=25/5000; api-bursts=1/750", (25, 5000)),
        ("api-usage=25/5000; per-app-api-usage=17/250(appName=x)", (25, 5000)),
        ("per-app-api-usage=17/250(appName=x)", None),
        ("nonsense", None),
        (None, None),
    ],
)
def test_the_limit_header_is_understood(header, expected) -> None:
    """The three shapes the vendor documents, and anything else is ignored."""
    assert read_usage(header) == expected


def test_the_daily_cap_is_never_crossed(peer) -> None:
    """P5, B20: the admin's cap stops even pulls, and says when calls come free again."""
    source = peer.source(daily_cap=5, reserve=0)
    with pytest.raises(RateLimitedError) as caught:
        _pull_for_ever(source, None)
    assert peer.calls() == 5
    assert caught.value.retry_after == pytest.approx(25 * 3600)


def test_a_stop_is_written_from_the_reserve_and_takes_reports_along(peer) -> None:
    """P5: a report alone waits; beside a stop it costs nothing and goes."""
    crm = SalesforceDriver(peer)
    ann, bob = (crm.add_person(RecordKind.CONTACT, email=f"{name}@acme.example") for name in ("ann", "bob"))
    source = peer.source(daily_cap=10, reserve=5)
    sink = peer.sink(source)
    source.identity()
    for _ in range(4):
        source.look([ann], frozenset(), None)
    with pytest.raises(RateLimitedError):
        write_all(sink, status_write(bob))
    outcomes = write_all(sink, status_write(bob, "report"), status_write(ann, "stop", status="Stopped", enrolled=False))
    assert {key: one.error for key, one in outcomes.items()} == {"report": None, "stop": None}


def test_a_restart_does_not_renew_the_cap(peer) -> None:
    """P5: the cursor carries the day's count into the next process."""
    cursor = read_all(peer.source(daily_cap=4, reserve=0)).cursor
    made = peer.calls()
    source = peer.source(daily_cap=4, reserve=0)
    with pytest.raises(RateLimitedError):
        _pull_for_ever(source, cursor)
    assert made < 4
    assert peer.calls() <= 4 + 1  # the schema is read before the cursor is


def _pull_for_ever(source, cursor) -> None:
    for _ in range(100):
        cursor = read_all(source, cursor).cursor


# --- settings -------------------------------------------------------------------------------------------------------

_CREDENTIALS = Auth(client_credentials=ClientCredentials(consumer_key="k", consumer_secret=SecretStr("hunter2")))


@pytest.mark.parametrize("url", ["http://127.0.0.1:80", "http://localhost:8040/", "http://[::1]:80"])
def test_a_stand_in_on_this_machine_is_accepted(url) -> None:
    """base_url leads to loopback."""
    assert SalesforceSettings(domain="acme.my", auth=_CREDENTIALS, base_url=url).base_url == url.rstrip("/")


@pytest.mark.parametrize(
    "url", ["https://example.com", "http://example.com", "http://10.0.0.1", "http://127.0.0.1.example.com", "127.0.0.1"]
)
def test_a_stand_in_anywhere_else_is_refused(url) -> None:
    """Credentials never leave for another host by a setting meant for trials."""
    with pytest.raises(ValidationError, match="this machine"):
        SalesforceSettings(domain="acme.my", auth=_CREDENTIALS, base_url=url)


@pytest.mark.parametrize("domain", ["https://acme.my.salesforce.com", "acme.my.salesforce.com", "login", ""])
def test_a_domain_that_cannot_work_is_refused(domain) -> None:
    """Only the part before .salesforce.com, and for client credentials never the common login host."""
    with pytest.raises(ValidationError):
        SalesforceSettings(domain=domain, auth=_CREDENTIALS)


def test_a_domain_that_is_too_long_is_answered_with_the_one_to_type() -> None:
    """Whoever copies the address of their org from the browser."""
    with pytest.raises(ValidationError) as caught:
        SalesforceSettings(domain="https://acme.my.salesforce.com/", auth=_CREDENTIALS)
    (detail,) = caught.value.errors()
    assert detail["ctx"]["error"].args[1] == 'Type domain = "acme.my".'


def test_exactly_one_way_to_log_in_is_given() -> None:
    """None and two are refused, and no secret is in the message."""
    with pytest.raises(ValidationError, match="exactly one"):
        Auth()
    session = ExistingSession(session_id=SecretStr("hunter3"), instance_url="https://acme.my.salesforce.com")
    with pytest.raises(ValidationError, match="exactly one") as caught:
        Auth(client_credentials=_CREDENTIALS.client_credentials, session=session)
    assert "hunter" not in str(caught.value)


def test_quota_gone_pauses_everything(peer) -> None:
    """B20: the vendor's 403 REQUEST_LIMIT_EXCEEDED is not a refusal of this one row."""
    crm = SalesforceDriver(peer)
    client = peer.client()
    crm.trouble(CrmTrouble.QUOTA_GONE)
    with pytest.raises(RateLimitedError):
        client.write(LIMITS, Purpose.STOP)


@pytest.mark.parametrize(
    ("text", "advice"),
    [("TotalRequests Limit exceeded.", "24 hours"), ("ConcurrentPerOrgLongTxn Limit exceeded.", "long requests")],
)
def test_a_limit_says_which_one_it_is(peer, text, advice) -> None:
    """B20: one code for the day's calls and for too many long requests at once."""
    body = error_body("REQUEST_LIMIT_EXCEEDED", text)
    peer.org.faults.add(Fault(kind=FaultKind.ANSWER, path="/data/", times=None, status=403, body=body))
    with pytest.raises(RateLimitedError, match=advice):
        peer.client().read(LIMITS, Purpose.PULL)
