"""The HubSpot stand-in over HTTP, driven by HubSpot's own client: what an independent program makes of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from hubspot import HubSpot
from hubspot.crm.associations.v4 import (
    BatchInputPublicFetchAssociationsBatchRequest,
    PublicFetchAssociationsBatchRequest,
)
from hubspot.crm.contacts import (
    BatchInputSimplePublicObjectBatchInputForCreate,
    BatchReadInputSimplePublicObjectId,
    Filter,
    FilterGroup,
    PublicGdprDeleteInput,
    PublicMergeInput,
    PublicObjectSearchRequest,
    SimplePublicObjectBatchInputForCreate,
    SimplePublicObjectId,
    SimplePublicObjectInput,
    SimplePublicObjectInputForCreate,
)
from hubspot.crm.contacts.exceptions import ApiException, ForbiddenException, NotFoundException
from hubspot.crm.lists import ListCreateRequest
from hubspot.crm.objects.emails import AssociationSpec, PublicAssociationsForObject, PublicObjectId
from hubspot.crm.objects.emails import SimplePublicObjectInputForCreate as EmailInput
from hubspot.crm.properties import OptionInput, PropertyCreate, PropertyGroupCreate
from hubspot.discovery.discovery_base import DiscoveryBase
from hubspot.utils.signature import Signature

from crmdrip.sandbox.clock import SandboxClock
from crmdrip.sandbox.courier import Courier
from crmdrip.sandbox.http import Request, Response, Server, ServerThread
from crmdrip.sandbox.hubspot import DEFAULT_TOKEN, SCOPES, TROUBLES, HubSpotPortal, Tier

BEGIN = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


class Stage:
    """A portal behind a real server, and the vendor's client of it."""

    def __init__(self) -> None:
        self.clock = SandboxClock(BEGIN)
        self.portal = HubSpotPortal(self.clock, tier=Tier.ENTERPRISE)
        self.portal.meter.limits = None
        self.server = Server(self.portal.handle)
        self.received: list[Request] = []
        self.statuses: list[int] = []
        self.receiver = Server(self._receive)
        self.thread = ServerThread(self.server, self.receiver)
        self.courier = Courier(self.thread.call)
        self.portal.webhooks.post = self.courier.post

    def _receive(self, request: Request) -> Response:
        self.received.append(request)
        return Response(status=self.statuses.pop(0) if self.statuses else 204)

    def client(self, token: str = DEFAULT_TOKEN) -> HubSpot:
        """The vendor's client with a token."""
        return HubSpot(access_token=token, host=self.server.url, retry=False)

    def pass_time(self, **by: float) -> None:
        """Let time pass, and what is due go out."""
        now = self.clock() + timedelta(**by)

        def move() -> None:
            self.clock.set(now)
            self.portal.advance(now)

        self.thread.call(move)
        while self.thread.call(lambda: self.courier.pending):
            pass


@pytest.fixture
def stage() -> Iterator[Stage]:
    opened = Stage()
    with opened.thread:
        yield opened
        opened.courier.close()
    assert opened.server.errors == []


def create(client: HubSpot, email: str, **values: str) -> str:
    body = SimplePublicObjectInputForCreate(properties={"email": email, **values}, associations=[])
    return client.crm.contacts.basic_api.create(body).id


def test_the_client_creates_reads_changes_and_deletes(stage: Stage) -> None:
    """Its models hold what was answered."""
    client = stage.client()
    record_id = create(client, "ada@example.com", firstname="Ada")
    api = client.crm.contacts.basic_api
    read = api.get_by_id(record_id, properties=["email", "jobtitle"])
    assert (read.properties["email"], read.properties["jobtitle"], read.created_at) == ("ada@example.com", None, BEGIN)
    assert api.get_by_id("ada@example.com", id_property="email").id == record_id
    api.update(record_id, SimplePublicObjectInput(properties={"jobtitle": "Countess"}))
    assert stage.portal.get("contacts", record_id).get("jobtitle") == "Countess"
    api.archive(record_id)
    with pytest.raises(NotFoundException):
        api.get_by_id(record_id)


def test_the_client_sees_the_rows_that_failed(stage: Stage) -> None:
    """207 becomes the model with errors."""
    client = stage.client()
    rows = [
        SimplePublicObjectBatchInputForCreate(properties={"email": email}, associations=[], object_write_trace_id=email)
        for email in ("a@example.com", "A@example.com")
    ]
    body = BatchInputSimplePublicObjectBatchInputForCreate(inputs=rows)
    answer = client.crm.contacts.batch_api.create(body)
    assert answer.num_errors == 1
    assert answer.errors[0].context == {"objectWriteTraceId": ["A@example.com"]}
    assert answer.results[0].object_write_trace_id == "a@example.com"


def test_the_client_reads_a_batch_with_history(stage: Stage) -> None:
    """Who is not there is among the errors."""
    client = stage.client()
    record_id = create(client, "a@example.com")
    body = BatchReadInputSimplePublicObjectId(
        inputs=[SimplePublicObjectId(id=record_id), SimplePublicObjectId(id="5")],
        properties=["email"],
        properties_with_history=["email"],
    )
    answer = client.crm.contacts.batch_api.read(body)
    assert answer.results[0].properties_with_history["email"][0].source_type == "INTEGRATION"
    assert answer.errors[0].context == {"ids": ["5"]}


def test_the_client_searches_once_the_index_has_caught_up(stage: Stage) -> None:
    """With filters and a sort of its own shape."""
    client = stage.client()
    record_id = create(client, "a@example.com", city="Ulm")
    groups = [FilterGroup(filters=[Filter(property_name="city", operator="EQ", value="ulm")])]
    query = PublicObjectSearchRequest(
        filter_groups=groups,
        sorts=[{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
        properties=["city"],
        limit=200,
    )
    assert client.crm.contacts.search_api.do_search(query).total == 0
    stage.pass_time(seconds=10)
    assert [each.id for each in client.crm.contacts.search_api.do_search(query).results] == [record_id]


def test_the_client_merges_and_forgets_people(stage: Stage) -> None:
    """A third id, and then nobody."""
    client = stage.client()
    one, two = create(client, "a@example.com"), create(client, "b@example.com")
    merged = client.crm.contacts.basic_api.merge(PublicMergeInput(primary_object_id=one, object_id_to_merge=two))
    assert merged.id not in (one, two)
    assert client.crm.contacts.basic_api.get_by_id(one).id == merged.id
    client.crm.contacts.basic_api.purge(PublicGdprDeleteInput(object_id=merged.id))
    with pytest.raises(NotFoundException):
        client.crm.contacts.basic_api.get_by_id(one)


def test_the_client_logs_an_email_and_reads_it_back_through_associations(stage: Stage) -> None:
    """At once, though a search would not find it yet."""
    client = stage.client()
    contact = create(client, "a@example.com")
    spec = AssociationSpec(association_category="HUBSPOT_DEFINED", association_type_id=198)
    body = EmailInput(
        properties={"hs_timestamp": "2026-11-24T09:00:00Z", "hs_email_direction": "EMAIL", "hs_email_subject": "Hi"},
        associations=[PublicAssociationsForObject(to=PublicObjectId(id=contact), types=[spec])],
    )
    email = client.crm.objects.emails.basic_api.create(body)
    fetch = BatchInputPublicFetchAssociationsBatchRequest(inputs=[PublicFetchAssociationsBatchRequest(id=contact)])
    found = client.crm.associations.v4.batch_api.get_page("contacts", "emails", fetch)
    assert found.results[0].to[0].to_object_id == email.id


def test_the_client_defines_properties_and_groups(stage: Stage) -> None:
    """And gets them back as its own models."""
    client = stage.client()
    client.crm.properties.groups_api.create("contacts", PropertyGroupCreate(name="crmdrip", label="crmdrip"))
    options = [OptionInput(label="Active", value="active", display_order=0, hidden=False)]
    spec = PropertyCreate(
        group_name="crmdrip",
        name="crmdrip_status",
        label="Status",
        type="enumeration",
        field_type="select",
        options=options,
    )
    assert client.crm.properties.core_api.create("contacts", spec).options[0].value == "active"
    names = [each.name for each in client.crm.properties.core_api.get_all("contacts").results]
    assert "crmdrip_status" in names


def test_the_client_reads_lists_owners_and_preferences(stage: Stage) -> None:
    """With trailing slashes in its paths."""
    client = stage.client()
    owner = stage.thread.call(lambda: stage.portal.add_owner("maya@acme.example", "Maya", "Okonkwo"))
    assert [each.id for each in client.crm.owners.owners_api.get_page().results] == [owner]
    contact = create(client, "a@example.com", hubspot_owner_id=owner)
    request = ListCreateRequest(name="Warm", object_type_id="0-1", processing_type="MANUAL")
    made = client.crm.lists.lists_api.create(request).list
    client.crm.lists.memberships_api.add(made.list_id, [contact])
    page = client.crm.lists.memberships_api.get_page_ordered_by_added_to_list_date(made.list_id)
    assert [each.record_id for each in page.results] == [contact]
    stage.thread.call(lambda: stage.portal.opt_out("a@example.com"))
    statuses = client.communication_preferences.status_api.get_email_status("a@example.com").subscription_statuses
    assert {each.status for each in statuses} == {"NOT_SUBSCRIBED"}


def test_the_client_tells_errors_apart(stage: Stage) -> None:
    """Scope, limit, conflict: by status, with the body."""
    stage.thread.call(lambda: stage.portal.tokens.issue("narrow", SCOPES - {"crm.objects.contacts.read"}))
    with pytest.raises(ForbiddenException) as forbidden:
        stage.client("narrow").crm.contacts.basic_api.get_page()
    assert "crm.objects.contacts.read" in forbidden.value.body
    stage.thread.call(lambda: stage.portal.faults.add(TROUBLES["ten_secondly"]))
    with pytest.raises(ApiException) as limited:
        stage.client().crm.contacts.basic_api.get_page()
    assert (limited.value.status, limited.value.headers.get("Retry-After")) == (429, None)
    create(stage.client(), "a@example.com")
    with pytest.raises(ApiException) as conflict:
        create(stage.client(), "a@example.com")
    assert conflict.value.status == 409


# --- webhooks ---------------------------------------------------------------------------------------------------------


def signed(request: Request, secret: str, url: str) -> bool:
    """Whether the vendor's own helper takes the signature."""
    return bool(
        Signature.is_valid(
            signature=request.headers["x-hubspot-signature-v3"],
            client_secret=secret,
            request_body=request.body.decode(),
            http_uri=url,
            http_method="POST",
            signature_version="v3",
            # The helper compares with this machine's clock: the sandbox's is another.
            timestamp=request.headers["x-hubspot-request-timestamp"],
        )
    )


def subscribe(stage: Stage, *types: str) -> str:
    url = f"{stage.receiver.url}/hooks/hubspot"
    stage.thread.call(lambda: stage.portal.webhooks.subscribe(url, "secret", types, app_id=7))
    return url


def test_webhooks_tell_what_happened_in_an_array(stage: Stage) -> None:
    """Creations, changed properties and merges with the new id."""
    subscribe(stage, "contact.creation", "contact.propertyChange:city", "contact.merge")
    client = stage.client()
    one, two = create(client, "a@example.com"), create(client, "b@example.com")
    client.crm.contacts.basic_api.update(one, SimplePublicObjectInput(properties={"city": "Ulm", "phone": "1"}))
    new = stage.thread.call(lambda: stage.portal.merge("contacts", one, two))
    stage.pass_time(seconds=1)
    (request,) = stage.received
    events: list[dict[str, Any]] = request.json()
    kinds = sorted(each["subscriptionType"] for each in events)
    assert kinds == ["contact.creation", "contact.creation", "contact.merge", "contact.propertyChange"]
    merge = next(each for each in events if each["subscriptionType"] == "contact.merge")
    assert (merge["newObjectId"], merge["mergedObjectIds"]) == (int(new), [int(one), int(two)])
    change = next(each for each in events if each["subscriptionType"] == "contact.propertyChange")
    assert (change["propertyName"], change["propertyValue"], change["changeSource"]) == ("city", "Ulm", "INTEGRATION")


def test_webhooks_are_signed_as_the_vendor_s_helper_expects(stage: Stage) -> None:
    """Version 3, over method, address, body and time."""
    url = subscribe(stage, "contact.creation")
    create(stage.client(), "a@example.com")
    stage.pass_time(seconds=1)
    (request,) = stage.received
    with time_machine.travel(stage.clock()):
        assert signed(request, "secret", url)
        assert not signed(request, "other", url)


def test_a_webhook_is_tried_ten_times_within_a_day(stage: Stage) -> None:
    """Each attempt with its number and a signature of its own; then it is lost."""
    subscribe(stage, "contact.creation")
    stage.statuses = [500] * 10
    create(stage.client(), "a@example.com")
    for _ in range(30):
        stage.pass_time(hours=1)
    assert [request.json()[0]["attemptNumber"] for request in stage.received] == list(range(10))
    assert len({request.headers["x-hubspot-request-timestamp"] for request in stage.received}) == 10
    assert len(stage.portal.webhooks.lost) == 1
    assert stage.clock() - BEGIN > timedelta(hours=24)


@pytest.mark.parametrize(
    "text", ["contact.propertyChange", "contact.propertyChange:lastmodifieddate", "contact.opened", "lead.creation"]
)
def test_what_is_not_offered_cannot_be_subscribed_to(stage: Stage, text: str) -> None:
    """As the vendor refuses it."""
    with pytest.raises(ValueError, match=r"webhooks|propertyChange"):
        subscribe(stage, text)


# --- dated paths ------------------------------------------------------------------------------------------------------


def dated(package: Any, name: str, configuration: Any) -> Any:
    """The client's own builder of APIs, with paths of the newest version: HubSpot's client knows none."""
    api = DiscoveryBase._default_api_factory(package, name, configuration)
    call_api = api.api_client.call_api

    def call(path: str, *arguments: Any, **named: Any) -> Any:
        newest = re.sub(r"^/crm/v[34]/(objects|properties|owners)/", r"/crm/\1/2026-09/", path)
        return call_api(newest, *arguments, **named)

    api.api_client.call_api = call
    return api


def test_the_client_works_on_dated_paths_and_loses_the_errors_there(stage: Stage) -> None:
    """201 with errors inside: its model has no place for them, so whoever uses it must read the raw answer."""
    client = HubSpot(access_token=DEFAULT_TOKEN, host=stage.server.url, retry=False, api_factory=dated)
    create(client, "a@example.com")
    rows = [
        SimplePublicObjectBatchInputForCreate(properties={"email": email}, associations=[], object_write_trace_id=email)
        for email in ("a@example.com", "b@example.com")
    ]
    body = BatchInputSimplePublicObjectBatchInputForCreate(inputs=rows)
    answer = client.crm.contacts.batch_api.create(body)
    assert [each.properties["email"] for each in answer.results] == ["b@example.com"]
    assert not hasattr(answer, "errors")
    raw = client.crm.contacts.batch_api.create(body, _preload_content=False)
    assert raw.status == 201
    assert len(json.loads(raw.data)["errors"]) == 2


def test_the_admin_s_rules_reach_the_client_on_dated_paths_alone(stage: Stage) -> None:
    """A minimal creation that version 3 takes."""
    stage.thread.call(lambda: stage.portal.require("contacts", "jobtitle"))
    newest = HubSpot(access_token=DEFAULT_TOKEN, host=stage.server.url, retry=False, api_factory=dated)
    with pytest.raises(ApiException) as refused:
        newest.crm.contacts.basic_api.create(
            SimplePublicObjectInputForCreate(properties={"email": "a@example.com"}, associations=[])
        )
    assert (refused.value.status, "jobtitle is required" in refused.value.body) == (400, True)
    assert create(stage.client(), "a@example.com")
