"""The REST API: requests to the org's operations, and their results to answers with the vendor's statuses."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from crmdrip.sandbox.faults import FaultKind, play
from crmdrip.sandbox.http import Request, Response, json_response
from crmdrip.sandbox.salesforce import composite, ids
from crmdrip.sandbox.salesforce.describe import basics, describe, describe_global
from crmdrip.sandbox.salesforce.metadata.deployment import answer
from crmdrip.sandbox.salesforce.metadata.request import read_deploy_request
from crmdrip.sandbox.salesforce.queries import PAGE, SMALLEST_PAGE
from crmdrip.sandbox.salesforce.refusals import Refusal, gone, not_found
from crmdrip.sandbox.salesforce.rules import Actor, Write
from crmdrip.sandbox.salesforce.schema import SObject
from crmdrip.sandbox.salesforce.values import show

if TYPE_CHECKING:
    from crmdrip.sandbox.salesforce.org import SalesforceOrg

OLDEST, NEWEST = 31, 68
MAX_HEAD = 16_384
"""Bytes of URI and headers together (help article 000386264); the URI alone is refused with 414 by the server."""
_VERSION = re.compile(r"/services/data/v(\d\d)\.0(/.*)?")
_BATCH = re.compile(r"batchSize\s*=\s*(\d+)", re.IGNORECASE)
_BODY_METHODS = frozenset({"POST", "PATCH", "PUT"})


class RestApi:
    """Answers the requests of one org."""

    def __init__(self, org: SalesforceOrg) -> None:
        self._org = org
        self._routes: list[tuple[str, re.Pattern[str], str, Callable[..., Response]]] = [
            (method, re.compile(pattern), kind, function)
            for method, pattern, kind, function in (
                ("GET", r"", "describe", self._resources),
                ("GET", r"/query", "query", self._query),
                ("GET", r"/queryAll", "query", self._query_all),
                ("GET", r"/query(?:All)?/([^/]+)", "query_more", self._query_more),
                ("GET", r"/limits", "limits", self._limits),
                ("GET", r"/limits/recordCount", "limits", self._record_count),
                ("GET", r"/sobjects", "describe", self._describe_global),
                ("GET", r"/sobjects/([^/]+)/describe", "describe", self._describe),
                ("GET", r"/sobjects/([^/]+)", "describe", self._basics),
                ("POST", r"/sobjects/([^/]+)", "record", self._create),
                ("GET", r"/sobjects/([^/]+)/([^/]+)", "record", self._get),
                ("PATCH", r"/sobjects/([^/]+)/([^/]+)", "record", self._update),
                ("DELETE", r"/sobjects/([^/]+)/([^/]+)", "record", self._delete),
                ("GET", r"/sobjects/([^/]+)/([^/]+)/(.+)", "record", self._get_by_key),
                ("PATCH", r"/sobjects/([^/]+)/([^/]+)/(.+)", "record", self._upsert_by_key),
                ("POST", r"/composite", "composite", self._composite),
                ("POST", r"/composite/sobjects", "collections", self._create_many),
                ("PATCH", r"/composite/sobjects", "collections", self._update_many),
                ("DELETE", r"/composite/sobjects", "collections", self._delete_many),
                ("POST", r"/composite/sobjects/([^/]+)", "collections", self._retrieve_posted),
                ("GET", r"/composite/sobjects/([^/]+)", "collections", self._retrieve_asked),
                ("PATCH", r"/composite/sobjects/([^/]+)/([^/]+)", "collections", self._upsert_many),
                ("POST", r"/metadata/deployRequest", "metadata", self._deploy),
                ("GET", r"/metadata/deployRequest/([^/]+)", "metadata", self._deployed),
            )
        ]

    def answer(self, request: Request) -> Response:
        """Answer one request, harmed by the fault that is due."""
        fault = self._org.faults.take(request)
        if fault is None:
            return self._answer(request, PAGE)
        if fault.kind is FaultKind.SHORT_PAGE:
            return self._answer(request, fault.rows)
        return play(fault, request, lambda harmed: self._answer(harmed, PAGE))

    def _answer(self, request: Request, page: int) -> Response:
        path = request.path.rstrip("/")
        if _size(request) > MAX_HEAD:
            return Response(status=431, content_type="text/plain")
        host = request.headers.get("host", "").partition(":")[0].lower()
        if host in self._org.former_domains:
            # "My Domain URL Redirects" (help). That API calls are redirected as well, and with 302, is not recorded.
            location = f"https://{self._org.my_domain}{request.path}"
            return Response(status=302, content_type="text/html", headers={"Location": location})
        if path == "/services/oauth2/token":
            return self._org.sessions.token(request)
        if path == "/services/data":
            return json_response(200, [
                {"label": f"Version {number}", "url": f"/services/data/v{number}.0", "version": f"{number}.0"}
                for number in range(OLDEST, NEWEST)
            ])  # fmt: skip
        try:
            response = self._counted(request, path, page)
        except Refusal as refusal:
            response = json_response(refusal.status, refusal.body())
        return self._signed(response)

    def _signed(self, response: Response) -> Response:
        org = self._org
        usage = f"api-usage={org.api_calls_today()}/{org.daily_limit}"
        moment = org.server_time()
        headers = {
            **response.headers,
            "Sforce-Limit-Info": usage,
            "Date": moment.strftime("%a, %d %b %Y %H:%M:%S GMT"),
        }
        return replace(response, headers=headers)

    def _counted(self, request: Request, path: str, page: int) -> Response:
        user_id = self._org.sessions.user_of(request)
        if user_id is None:
            raise Refusal("INVALID_SESSION_ID", "Session expired or invalid", status=401)
        if self._org.api_calls_today() >= self._org.daily_limit:
            raise Refusal("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", status=403)
        self._org.access.user_id = user_id
        route = self._route(request, path)
        self._org.count_call(route.kind)
        return self._run(route, request, user_id, page)

    def _route(self, request: Request, path: str) -> _Route:
        found = _VERSION.fullmatch(path)
        if found is None or not OLDEST <= int(found.group(1)) <= NEWEST:
            raise not_found()
        rest = found.group(2) or ""
        base = f"/services/data/v{found.group(1)}.0"
        other = False
        for method, pattern, kind, function in self._routes:
            match = pattern.fullmatch(rest)
            if match is None:
                continue
            if method == request.method:
                return _Route(kind=kind, function=function, groups=match.groups(), base=base)
            other = True
        if other:
            raise Refusal(
                "METHOD_NOT_ALLOWED",
                f"HTTP Method '{request.method}' not allowed. Allowed are HEAD,GET,POST,PATCH,DELETE",
                status=405,
            )
        raise not_found()

    def _run(self, route: _Route, request: Request, user_id: str, page: int) -> Response:
        wanted = "multipart/form-data" if route.kind == "metadata" else "application/json"
        if request.method in _BODY_METHODS and not request.headers.get("content-type", "").startswith(wanted):
            kind = request.headers.get("content-type", "")
            raise Refusal("UNSUPPORTED_MEDIA_TYPE", f"Content-Type '{kind}' not supported.", status=415)
        call = _Call(request=request, base=route.base, user_id=user_id, page=page)
        with self._org.store.savepoint():
            return route.function(call, *route.groups)

    # queries

    def _query(self, call: _Call) -> Response:
        return self._queried(call, everything=False)

    def _query_all(self, call: _Call) -> Response:
        return self._queried(call, everything=True)

    def _queried(self, call: _Call, *, everything: bool) -> Response:
        soql = call.request.query().get("q")
        if soql is None:
            raise Refusal("MALFORMED_QUERY", "A query string has to be specified")
        answer = self._org.queries.run(
            soql, base=call.base, hidden=self._org.records.hidden, everything=everything, page=call.page_size()
        )
        return json_response(200, answer)

    def _query_more(self, call: _Call, locator: str) -> Response:
        return json_response(200, self._org.queries.more(locator, base=call.base, page=call.page_size()))

    # limits and describe

    def _resources(self, call: _Call) -> Response:
        names = ("query", "queryAll", "limits", "sobjects", "composite", "metadata")
        identity = f"https://login.salesforce.com/id/{self._org.org_id}/{call.user_id}"
        return json_response(200, {name: f"{call.base}/{name}" for name in names} | {"identity": identity})

    def _limits(self, _call: _Call) -> Response:
        return json_response(200, self._org.limits())

    def _record_count(self, call: _Call) -> Response:
        asked = [name for name in call.request.query().get("sObjects", "").split(",") if name]
        specs = [spec for spec in self._org.schema if not asked or spec.name in asked]
        counts = [{"count": self._org.store.count(spec), "name": spec.name} for spec in specs]
        return json_response(200, {"sObjects": [each for each in counts if each["count"]]})

    def _describe_global(self, call: _Call) -> Response:
        return json_response(200, describe_global(self._org.schema, call.base))

    def _describe(self, call: _Call, name: str) -> Response:
        spec = self._object(name)
        return json_response(200, describe(self._org.schema, spec, call.base, self._org.access))

    def _basics(self, call: _Call, name: str) -> Response:
        spec = self._object(name)
        whole = describe(self._org.schema, spec, call.base, self._org.access)
        return json_response(200, {"objectDescribe": basics(whole), "recentItems": []})

    def _object(self, name: str) -> SObject:
        spec = self._org.schema.get(name)
        if spec is None or spec.name in self._org.access.sight().closed:
            raise not_found()
        return spec

    # metadata

    def _deploy(self, call: _Call) -> Response:
        self._may_deploy()
        content, options = read_deploy_request(call.request)
        found = self._org.deployments.request(content, options, call.user_id)
        return json_response(201, answer(found, details=False))

    def _deployed(self, call: _Call, deployment_id: str) -> Response:
        self._may_deploy()
        found = self._org.deployments.find(deployment_id)
        if found is None:
            raise not_found()
        details = call.request.query().get("includeDetails", "").lower() == "true"
        return json_response(200, answer(found, details=details))

    def _may_deploy(self) -> None:
        access = self._org.access
        if not (access.holds("ModifyMetadata") or access.holds("ModifyAllData")):
            text = "use of the Metadata API requires a user with the ModifyAllData or ModifyMetadata permissions"
            raise Refusal("INSUFFICIENT_ACCESS", text, status=403)

    # single records

    def _create(self, call: _Call, name: str) -> Response:
        spec = self._object(name)
        record_id = self._org.records.insert(spec, call.body(), self._write(call))
        location = f"{call.base}/sobjects/{spec.name}/{record_id}"
        return json_response(201, {"id": record_id, "success": True, "errors": []}, {"Location": location})

    def _get(self, call: _Call, name: str, record_id: str) -> Response:
        spec = self._object(name)
        full = ids.normalize(record_id)
        row = self._org.store.fetch(spec.name, full) if full is not None else None
        if full is None or row is None:
            raise not_found()
        if row.get("IsDeleted"):
            raise gone()
        asked = call.request.query().get("fields")
        hidden = self._org.records.hidden
        visible = [each for each in spec.fields.values() if not hidden(spec.name, each.name)]
        if asked is not None:
            wanted = []
            for each_name in asked.split(","):
                each = spec.field(each_name.strip())
                if each is None or hidden(spec.name, each.name):
                    raise Refusal("INVALID_FIELD", f"No such column '{each_name}' on sobject of type {spec.name}")
                wanted.append(each)
            visible = wanted
        record: dict[str, Any] = {
            "attributes": {"type": spec.name, "url": f"{call.base}/sobjects/{spec.name}/{full}"},
        }
        record.update((each.name, show(each, row[each.name])) for each in visible)
        record.setdefault("Id", full)
        return json_response(200, record)

    def _update(self, call: _Call, name: str, record_id: str) -> Response:
        spec = self._object(name)
        full = ids.normalize(record_id)
        if full is None or self._org.store.exists(spec, full) is None:
            raise Refusal(
                "NOT_FOUND", f"Provided external ID field does not exist or is not accessible: {record_id}", status=404
            )  # fmt: skip
        body = call.body()
        if any(key.lower() == "id" for key in body):
            raise Refusal(
                "INVALID_FIELD", "The Id field should not be specified in the sobject data."
            )  # fmt: skip
        self._org.records.update(spec, full, body, self._write(call))
        return Response(status=204)

    def _delete(self, call: _Call, name: str, record_id: str) -> Response:
        spec = self._object(name)
        full = ids.normalize(record_id)
        if full is None or self._org.store.exists(spec, full) is None:
            raise not_found()
        self._org.lifecycle.delete(full, self._write(call))
        return Response(status=204)

    # single records by key

    def _found(self, call: _Call, spec: SObject, field: str, value: str) -> list[str]:
        key = self._org.records.upsert_key(spec, field)
        found = self._org.store.ids_where(spec.name, key.name, value)
        return [f"{call.base}/sobjects/{spec.name}/{each}" for each in found]

    def _get_by_key(self, call: _Call, name: str, field: str, value: str) -> Response:
        spec = self._object(name)
        found = self._found(call, spec, field, value)
        if not found:
            raise not_found()
        if len(found) > 1:
            return json_response(300, found)
        return self._get(call, name, found[0].rpartition("/")[2])

    def _upsert_by_key(self, call: _Call, name: str, field: str, value: str) -> Response:
        spec = self._object(name)
        key = self._org.records.upsert_key(spec, field)
        found = self._found(call, spec, field, value)
        if len(found) > 1:
            return json_response(300, found)
        if not found and call.request.query().get("updateOnly", "").lower() == "true":
            raise not_found()
        body = call.body()
        if any(each.lower() == key.name.lower() for each in body):
            raise Refusal(
                "INVALID_FIELD", f"The {key.name} field should not be specified in the sobject data."
            )  # fmt: skip
        record_id, created = self._org.records.upsert(spec, key, value, body, self._write(call))
        return json_response(
            201 if created else 200, {"id": record_id, "success": True, "errors": [], "created": created}
        )  # fmt: skip

    # many records

    def _create_many(self, call: _Call) -> Response:
        return json_response(200, self._org.collections.create(call.body(), self._write(call)))

    def _update_many(self, call: _Call) -> Response:
        return json_response(200, self._org.collections.update(call.body(), self._write(call)))

    def _upsert_many(self, call: _Call, name: str, field: str) -> Response:
        return json_response(200, self._org.collections.upsert(name, field, call.body(), self._write(call)))

    def _delete_many(self, call: _Call) -> Response:
        query = call.request.query()
        given = [each for each in query.get("ids", "").split(",") if each]
        all_or_none = query.get("allOrNone", "").lower() == "true"
        results = self._org.collections.delete(given, all_or_none=all_or_none, write=self._write(call))
        return json_response(200, results)

    def _retrieve_posted(self, call: _Call, name: str) -> Response:
        body = call.body()
        return self._retrieved(call, name, body.get("ids"), body.get("fields"))

    def _retrieve_asked(self, call: _Call, name: str) -> Response:
        query = {key: values[-1].split(",") for key, values in parse_qs(call.request.raw_query).items()}
        return self._retrieved(call, name, query.get("ids"), query.get("fields"))

    def _retrieved(self, call: _Call, name: str, given: Any, fields: Any) -> Response:
        if not isinstance(given, list) or not isinstance(fields, list) or not fields:
            raise Refusal("MISSING_ARGUMENT", "ids and fields are required")
        return json_response(200, self._org.collections.retrieve(self._object(name), given, fields, call.base))

    def _composite(self, call: _Call) -> Response:
        def answer(request: Request) -> Response:
            try:
                route = self._route(request, request.path.rstrip("/"))
                return self._run(route, request, call.user_id, call.page)
            except Refusal as refusal:
                return json_response(refusal.status, refusal.body())

        return json_response(200, composite.run(call.request, call.body(), answer=answer, store=self._org.store))

    def _write(self, call: _Call) -> Write:
        headers = call.request.headers
        duplicates = headers.get("sforce-duplicate-rule-header", "").replace(" ", "").lower()
        actor = Actor(
            user_id=call.user_id,
            through_api=True,
            auto_assign=headers.get("sforce-auto-assign", "TRUE").upper() != "FALSE",
            allow_duplicates="allowsave=true" in duplicates,
        )
        return Write(actor=actor, stamp=self._org.next_stamp())


def _size(request: Request) -> int:
    headers = sum(len(name) + len(value) + 4 for name, value in request.headers.items())
    return len(request.path) + len(request.raw_query) + headers


@dataclass(frozen=True, kw_only=True, slots=True)
class _Route:
    """The operation a path names."""

    kind: str
    function: Callable[..., Response]
    groups: tuple[str, ...]
    base: str
    """The path before /sobjects."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Call:
    """One request on its way to an operation."""

    request: Request
    base: str
    user_id: str
    page: int

    def body(self) -> dict[str, Any]:
        """The JSON object sent. Raises Refusal."""
        try:
            value = self.request.json()
        except ValueError as error:
            raise Refusal("JSON_PARSER_ERROR", f"{error} at [line:1, column:1]") from error
        if not isinstance(value, dict):
            raise Refusal("JSON_PARSER_ERROR", "Cannot deserialize the body to an object at [line:1, column:1]")
        return value

    def page_size(self) -> int:
        """Rows per page: as Sforce-Query-Options asks within 200 to 2,000, and never more than a fault allows."""
        found = _BATCH.search(self.request.headers.get("sforce-query-options", ""))
        asked = PAGE if found is None else min(max(int(found.group(1)), SMALLEST_PAGE), PAGE)
        return min(asked, self.page)
