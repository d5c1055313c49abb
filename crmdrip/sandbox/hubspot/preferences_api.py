"""The communication preferences API: version 3, version 4 and its dated successors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crmdrip.sandbox.http import Response, json_response
from crmdrip.sandbox.hubspot.call import Call, Route, batch_answer
from crmdrip.sandbox.hubspot.preferences import Preference, Status
from crmdrip.sandbox.hubspot.properties import show_stamp
from crmdrip.sandbox.hubspot.refusals import Refusal, invalid_input, not_found

if TYPE_CHECKING:
    from crmdrip.sandbox.hubspot.portal import HubSpotPortal

READERS = ("communication_preferences.read", "communication_preferences.read_write", "subscriptions-status-read")
WRITERS = ("communication_preferences.write", "communication_preferences.read_write", "subscriptions-status-write")
LEGAL_BASES = (
    "LEGITIMATE_INTEREST_PQL",
    "LEGITIMATE_INTEREST_CLIENT",
    "PERFORMANCE_OF_CONTRACT",
    "CONSENT_WITH_NOTICE",
    "NON_GDPR",
    "PROCESS_AND_STORE",
    "LEGITIMATE_INTEREST_OTHER",
)


class PreferencesApi:
    """Answers requests about communication preferences."""

    def __init__(self, portal: HubSpotPortal) -> None:
        self._portal = portal
        self._preferences = portal.preferences

    def routes(self) -> list[Route]:
        """Every operation with its address."""
        new = "v4|20.*"
        rows = (
            ("GET", r"/definitions", self._definitions, ".*"),
            ("GET", r"/status/email/([^/]+)", self._get_old, "v3"),
            ("POST", r"/unsubscribe", self._unsubscribe_old, "v3"),
            ("POST", r"/subscribe", self._subscribe_old, "v3"),
            ("GET", r"/statuses/([^/]+)", self._get, new),
            ("POST", r"/statuses/([^/]+)", self._set, new),
            ("GET", r"/statuses/([^/]+)/unsubscribe-all", self._get_wide, new),
            ("POST", r"/statuses/([^/]+)/unsubscribe-all", self._set_wide, new),
        )
        return [
            Route(
                method=method,
                pattern=pattern,
                family="communication-preferences",
                operation=operation,
                kind="preferences",
                versions=versions,
            )
            for method, pattern, operation, versions in rows
        ]

    def _definitions(self, call: Call) -> Response:
        call.need_any(*READERS)
        rows = [
            {
                "id": str(each.id),
                "name": each.name,
                "description": each.description,
                "purpose": each.purpose,
                "communicationMethod": "Email",
                "isActive": True,
                "isDefault": True,
                "isInternal": False,
                "businessUnitId": 0,
            }
            for each in self._preferences.subscriptions.values()
        ]
        if call.version == "v3":
            return json_response(200, {"subscriptionDefinitions": rows})
        return json_response(200, batch_answer(call, rows))

    # version 4 and later

    @staticmethod
    def _need_channel(call: Call) -> None:
        if call.query().get("channel") != "EMAIL":
            raise Refusal("Query param channel is required and must be EMAIL")

    def _get(self, call: Call) -> Response:
        call.need_any(*READERS)
        self._need_channel(call)
        return json_response(200, batch_answer(call, self._rows(call.groups[0])))

    def _rows(self, address: str) -> list[dict[str, Any]]:
        said = self._preferences.of(address)
        return [self._row(address, each, said.get(each)) for each in self._preferences.subscriptions]

    def _row(self, address: str, subscription_id: int, said: Preference | None) -> dict[str, Any]:
        return {
            "channel": "EMAIL",
            "subscriberIdString": address,
            "subscriptionId": subscription_id,
            "subscriptionName": self._preferences.subscriptions[subscription_id].name,
            "businessUnitId": 0,
            "status": (said.status if said is not None else Status.NOT_SPECIFIED).value,
            "source": said.source if said is not None else "",
            "legalBasis": (said.legal_basis if said is not None else "") or None,
            "legalBasisExplanation": (said.explanation if said is not None else "") or None,
            "setStatusSuccessReason": None,
            "timestamp": show_stamp(said.at if said is not None else 0),
        }

    def _set(self, call: Call) -> Response:
        call.need_any(*WRITERS)
        body = call.body()
        if body.get("channel") != "EMAIL":
            raise invalid_input("channel must be EMAIL")
        subscription_id = self._subscription(body.get("subscriptionId"))
        if body.get("statusState") not in [each.value for each in Status if each is not Status.NOT_SPECIFIED]:
            raise invalid_input(f"Cannot deserialize value of statusState from {body.get('statusState')!r}")
        said = self._preference(call, body, Status(body["statusState"]))
        self._preferences.set(call.groups[0], subscription_id, said)
        return json_response(200, self._row(call.groups[0], subscription_id, said))

    def _get_wide(self, call: Call) -> Response:
        call.need_any(*READERS)
        self._need_channel(call)
        return json_response(200, batch_answer(call, [self._wide_row(call.groups[0])]))

    def _set_wide(self, call: Call) -> Response:
        call.need_any(*WRITERS)
        self._need_channel(call)
        said = Preference(status=Status.UNSUBSCRIBED, at=call.stamp, source=f"Public API {call.grant.app_id}")
        self._preferences.opt_out(call.groups[0], said)
        rows = self._rows(call.groups[0]) if call.query().get("verbose") == "true" else []
        return json_response(200, batch_answer(call, rows or [self._wide_row(call.groups[0])]))

    def _wide_row(self, address: str) -> dict[str, Any]:
        said = self._preferences.wide(address)
        return {
            "wideStatusType": "PORTAL_WIDE",
            "channel": "EMAIL",
            "subscriberIdString": address,
            "businessUnitId": 0,
            "status": (said.status if said is not None else Status.NOT_SPECIFIED).value,
            "timestamp": show_stamp(said.at if said is not None else 0),
        }

    # version 3

    def _get_old(self, call: Call) -> Response:
        call.need_any(*READERS)
        address = call.groups[0]
        said = self._preferences.of(address)
        source = "PORTAL_WIDE_STATUS" if self._preferences.is_opted_out(address) else "SUBSCRIPTION_STATUS"
        rows = [
            {
                "id": str(each.id),
                "name": each.name,
                "description": each.description,
                "status": _old(said.get(each.id)),
                "sourceOfStatus": source,
                "brandId": None,
                "preferenceGroupName": None,
                "legalBasis": (said[each.id].legal_basis if each.id in said else "") or None,
                "legalBasisExplanation": (said[each.id].explanation if each.id in said else "") or None,
            }
            for each in self._preferences.subscriptions.values()
        ]
        return json_response(200, {"recipient": address, "subscriptionStatuses": rows})

    def _unsubscribe_old(self, call: Call) -> Response:
        return self._set_old(call, Status.UNSUBSCRIBED)

    def _subscribe_old(self, call: Call) -> Response:
        return self._set_old(call, Status.SUBSCRIBED)

    def _set_old(self, call: Call, status: Status) -> Response:
        call.need_any(*WRITERS)
        body = call.body()
        address = body.get("emailAddress")
        if not isinstance(address, str) or "@" not in address:
            raise Refusal("Some required fields were not set: [emailAddress]")
        subscription_id = self._subscription(body.get("subscriptionId"))
        before = self._preferences.of(address).get(subscription_id)
        if before is not None and before.status is status:
            raise Refusal(
                f"{address} is already {status.value.lower()} to subscription {subscription_id}",
                sub_category=f"SubscriptionError.ALREADY_{status.value}",
            )
        if status is Status.SUBSCRIBED and self._preferences.is_opted_out(address):
            # Version 3 cannot subscribe somebody who opted out (docs: communication preferences v3).
            raise Refusal(f"{address} has opted out of all email and cannot be subscribed by this API")
        said = self._preference(call, body, status)
        self._preferences.set(address, subscription_id, said)
        name = self._preferences.subscriptions[subscription_id].name
        shown = {
            "id": str(subscription_id),
            "name": name,
            "description": "",
            "status": _old(said),
            "sourceOfStatus": "SUBSCRIPTION_STATUS",
            "legalBasis": said.legal_basis or None,
            "legalBasisExplanation": said.explanation or None,
        }
        return json_response(200, shown)

    # both

    def _subscription(self, given: Any) -> int:
        text = str(given)
        if not text.isdecimal() or int(text) not in self._preferences.subscriptions:
            raise not_found(f"Subscription {given} does not exist")
        return int(text)

    def _preference(self, call: Call, body: dict[str, Any], status: Status) -> Preference:
        basis, explanation = body.get("legalBasis") or "", body.get("legalBasisExplanation") or ""
        if basis and basis not in LEGAL_BASES:
            raise invalid_input(f"Cannot deserialize value of legalBasis from {basis!r}")
        if self._preferences.privacy and status is Status.SUBSCRIBED and not (basis and explanation):
            raise Refusal("legalBasis and legalBasisExplanation are required while data privacy settings are on")
        return Preference(
            status=status,
            at=call.stamp,
            source=f"Public API {call.grant.app_id}",
            legal_basis=basis,
            explanation=explanation,
        )


def _old(said: Preference | None) -> str:
    return "SUBSCRIBED" if said is not None and said.status is Status.SUBSCRIBED else "NOT_SUBSCRIBED"
