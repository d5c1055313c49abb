"""The API: requests to the portal's operations, in both shapes of paths, and their results to answers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING
from uuid import UUID

from crmdrip.sandbox.faults import FaultKind, play
from crmdrip.sandbox.http import Request, Response, json_response
from crmdrip.sandbox.hubspot.account_api import AccountApi
from crmdrip.sandbox.hubspot.associations_api import AssociationsApi
from crmdrip.sandbox.hubspot.call import Call, Route
from crmdrip.sandbox.hubspot.definitions_api import DefinitionsApi
from crmdrip.sandbox.hubspot.lists_api import ListsApi
from crmdrip.sandbox.hubspot.objects_api import ObjectsApi
from crmdrip.sandbox.hubspot.preferences_api import PreferencesApi
from crmdrip.sandbox.hubspot.refusals import Refusal
from crmdrip.sandbox.hubspot.schemas_api import SchemasApi

if TYPE_CHECKING:
    from crmdrip.sandbox.hubspot.portal import HubSpotPortal

VERSIONS = ("v3", "v4", "2025-09", "2026-03", "2026-09")
"""Versions this portal knows. The next date comes in March 2027."""

_SHAPES = (
    # Old paths have the version before the family, dated ones after it (OpenAPI files of 2026-03).
    re.compile(r"/crm/(?P<version>v\d)/(?P<family>objects|properties|associations|lists|owners|schemas)(?P<rest>/.*)?"),
    re.compile(
        r"/crm/(?P<family>objects|properties|associations|lists|owners|schemas)"
        r"/(?P<version>20\d\d-\d\d)(?P<rest>/.*)?"
    ),
    re.compile(r"/crm-object-schemas/(?P<version>v\d|20\d\d-\d\d)/(?P<family>schemas)(?P<rest>/.*)?"),
    re.compile(r"/(?P<family>communication-preferences|account-info)/(?P<version>v\d|20\d\d-\d\d)(?P<rest>/.*)?"),
)
_TOKEN = re.compile(r"/oauth/(?:v1|v3|20\d\d-\d\d)/token")
_ACCESS_TOKEN = re.compile(r"/oauth/v1/access-tokens/([^/]+)")
_TOKEN_INFO = "/oauth/v2/private-apps/get/access-token-info"
_WITH_BODY = frozenset({"POST", "PATCH", "PUT"})


class RestApi:
    """Answers the requests of one portal."""

    def __init__(self, portal: HubSpotPortal, definitions: DefinitionsApi, schemas: SchemasApi, seed: int) -> None:
        self._portal = portal
        self._random = Random(f"correlation|{seed}")
        self._account = AccountApi(portal)
        families: Iterable[list[Route]] = (
            ObjectsApi(portal).routes(),
            AssociationsApi(portal).routes(),
            definitions.routes(),
            schemas.routes(),
            ListsApi(portal).routes(),
            PreferencesApi(portal).routes(),
            self._account.routes(),
        )
        self._routes: dict[str, list[tuple[Route, re.Pattern[str], re.Pattern[str]]]] = {}
        for routes in families:
            for route in routes:
                compiled = (route, re.compile(route.pattern), re.compile(route.versions))
                self._routes.setdefault(route.family, []).append(compiled)

    def answer(self, request: Request) -> Response:
        """Answer one request, harmed by the fault that is due."""
        fault = self._portal.faults.take(request)
        if fault is None:
            return self._answer(request, None)
        if fault.kind is FaultKind.SHORT_PAGE:
            return self._answer(request, fault.rows)
        return play(fault, request, lambda harmed: self._answer(harmed, None))

    def _answer(self, request: Request, page: int | None) -> Response:
        correlation_id = str(UUID(int=self._random.getrandbits(128), version=4))
        try:
            response = self._run(request, page)
        except Refusal as refusal:
            response = json_response(refusal.status, refusal.body(correlation_id), refusal.headers)
        self._portal.webhooks.take(self._portal.records.events)
        headers = {**response.headers, "X-HubSpot-Correlation-Id": correlation_id}
        return replace(response, headers=headers)

    def _run(self, request: Request, page: int | None) -> Response:
        path = request.path.rstrip("/")
        if request.method == "POST" and _TOKEN.fullmatch(path):
            return self._portal.tokens.answer(request)
        if request.method == "POST" and path == _TOKEN_INFO:
            return self._account.token_info(request)
        if request.method == "GET" and (found := _ACCESS_TOKEN.fullmatch(path)) is not None:
            return self._account.access_token_info(found.group(1))
        grant = self._portal.tokens.grant_of(request)
        shape = next((match for each in _SHAPES if (match := each.fullmatch(path)) is not None), None)
        if shape is None or shape["version"] not in VERSIONS:
            return _no_page()
        route, groups = self._find(request.method, shape["family"], shape["version"], shape["rest"] or "")
        if route is None:
            return _no_page() if groups is None else _not_allowed(request.method)
        headers = self._portal.meter.take(route.kind, public=grant.public)
        self._portal.calls_by_kind[route.kind] += 1
        content = request.headers.get("content-type", "")
        if request.method in _WITH_BODY and request.body and not content.startswith("application/json"):
            raise Refusal("HTTP 415 Unsupported Media Type", "VALIDATION_ERROR", status=415, headers=headers)
        call = Call(
            request=request,
            version=shape["version"],
            grant=grant,
            groups=groups or (),
            page=page,
            stamp=self._portal.now_ms(),
        )
        try:
            with self._portal.store.savepoint():
                response = route.operation(call)
        except Refusal as refusal:
            refusal.headers = {**headers, **refusal.headers}
            raise
        return replace(response, headers={**response.headers, **headers})

    def _find(
        self, method: str, family: str, version: str, rest: str
    ) -> tuple[Route | None, tuple[str, ...] | None]:  # fmt: skip
        """The operation; without one, groups that are not None say that another method is allowed."""
        other: tuple[str, ...] | None = None
        for route, pattern, versions in self._routes[family]:
            match = pattern.fullmatch(rest)
            if match is None or versions.fullmatch(version) is None:
                continue
            if route.method == method:
                return route, match.groups()
            other = match.groups()
        return None, other


def _no_page() -> Response:
    return Response(status=404, body=b"<html><body><h1>404 Not Found</h1></body></html>", content_type="text/html")


def _not_allowed(method: str) -> Response:
    return json_response(405, {"status": "error", "message": f"HTTP 405 Method Not Allowed: {method}"})
