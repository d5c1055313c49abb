"""What an app can ask about the account and about itself: owners, details, usage, its token's scopes."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from crmdrip.sandbox.http import Request, Response, json_response
from crmdrip.sandbox.hubspot.call import Call, Route, paging
from crmdrip.sandbox.hubspot.properties import show_stamp, to_ms
from crmdrip.sandbox.hubspot.refusals import Refusal, invalid_input, not_found

if TYPE_CHECKING:
    from crmdrip.sandbox.hubspot.portal import HubSpotPortal

PAGE, LARGEST_PAGE = 100, 500


class AccountApi:
    """Answers requests about the account."""

    def __init__(self, portal: HubSpotPortal) -> None:
        self._portal = portal

    def routes(self) -> list[Route]:
        """Every operation with its address."""
        rows = (
            ("GET", "owners", r"", self._owners, "v3|20.*"),
            ("GET", "owners", r"/([^/]+)", self._owner, "v3|20.*"),
            ("GET", "account-info", r"/details", self._details, "v3|20.*"),
            ("GET", "account-info", r"/api-usage/daily(?:/private-apps)?", self._usage, "v3|20.*"),
        )
        return [
            Route(
                method=method,
                pattern=pattern,
                family=family,
                operation=operation,
                kind="owners" if family == "owners" else "account",
                versions=versions,
            )
            for method, family, pattern, operation, versions in rows
        ]

    # owners

    def _owners(self, call: Call) -> Response:
        call.need("crm.objects.owners.read")
        query = call.query()
        active = query.get("archived") != "true"
        limit, after = call.limit(default=PAGE, most=LARGEST_PAGE), query.get("after", "0")
        if not after.isdecimal():
            raise Refusal("Invalid paging cursor")
        found = [
            each
            for each in self._portal.owners
            if each.active is active
            and int(each.id) > int(after)
            and query.get("email", each.email).lower() == each.email.lower()
        ]
        following = found[limit - 1].id if len(found) > limit else None
        return json_response(200, {"results": [each.show() for each in found[:limit]], **paging(following, call)})

    def _owner(self, call: Call) -> Response:
        call.need("crm.objects.owners.read")
        query = call.query()
        by_user = query.get("idProperty") == "userId"
        active = query.get("archived") != "true"
        for each in self._portal.owners:
            if each.active is active and call.groups[0] == (str(each.user_id) if by_user else each.id):
                return json_response(200, each.show())
        raise not_found("resource not found")

    # the account

    def _details(self, _: Call) -> Response:
        portal = self._portal
        offset = portal.clock().astimezone(portal.zone).utcoffset() or timedelta(0)
        sign = "-" if offset < timedelta(0) else "+"
        hours, minutes = divmod(abs(int(offset.total_seconds())) // 60, 60)
        return json_response(
            200,
            {
                "portalId": portal.portal_id,
                "accountType": portal.account_type,
                "timeZone": portal.zone.key,
                "companyCurrency": "USD",
                "additionalCurrencies": [],
                "utcOffset": f"{sign}{hours:02d}:{minutes:02d}",
                "utcOffsetMilliseconds": int(offset.total_seconds() * 1000),
                "uiDomain": "app.hubspot.com",
                "dataHostingLocation": "na1",
            },
        )

    def _usage(self, call: Call) -> Response:
        meter = self._portal.meter
        most = meter.limits.daily if meter.limits is not None else self._portal.tier.value.daily
        row = {
            "name": "private-apps-api-calls-daily",
            "usageLimit": most,
            "currentUsage": meter.count_today(),
            "collectedAt": show_stamp(call.stamp),
            "fetchStatus": "SUCCESS",
            "resetsAt": show_stamp(to_ms(meter.resets_at())),
        }
        return json_response(200, {"results": [row]})

    # tokens, asked without one

    def token_info(self, request: Request) -> Response:
        """What a private app's token may do: POST /oauth/v2/private-apps/get/access-token-info."""
        try:
            body = request.json()
        except ValueError as error:
            raise invalid_input(str(error)) from error
        found = self._portal.tokens.info(str(body.get("tokenKey", ""))) if isinstance(body, dict) else None
        if found is None or found[0].expires is not None:
            raise not_found("Private app token not found")
        grant = found[0].grant
        return json_response(
            200,
            {
                "userId": self._portal.admin_user_id,
                "hubId": self._portal.portal_id,
                "appId": grant.app_id,
                "scopes": sorted(grant.scopes),
            },
        )

    def access_token_info(self, text: str) -> Response:
        """What an OAuth access token may do: GET /oauth/v1/access-tokens/{token}."""
        found = self._portal.tokens.info(text)
        if found is None or found[0].expires is None:
            raise not_found("access token not found")
        token, left = found
        return json_response(
            200,
            {
                "token": text,
                "user": "admin@acme.example",
                "hub_domain": "acme.example",
                "scopes": sorted(token.grant.scopes),
                "hub_id": self._portal.portal_id,
                "app_id": token.grant.app_id,
                "expires_in": left,
                "user_id": self._portal.admin_user_id,
                "token_type": "access",
            },
        )
