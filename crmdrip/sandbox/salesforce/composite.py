"""Composite requests: up to 25 subrequests in one call, which may use each other's answers."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import orjson

from crmdrip.sandbox.http import Request, Response
from crmdrip.sandbox.salesforce.refusals import Refusal
from crmdrip.sandbox.salesforce.store import Store

MAX_REQUESTS = 25
MAX_HEAVY = 5
"""How many of them may be queries or collections."""

_REFERENCE = re.compile(r"@\{([A-Za-z0-9_]+)((?:\.[A-Za-z0-9_]+|\[\d+\])+)\}")
_STEP = re.compile(r"\.([A-Za-z0-9_]+)|\[(\d+)\]")
_HEAVY = re.compile(r"/(query|queryAll|composite/sobjects)(/|\?|$)")

Answer = Callable[[Request], Response]


class _Failed(Exception):  # noqa: N818 - a signal to the savepoint
    """A subrequest of an allOrNone request failed."""


def run(request: Request, body: Any, *, answer: Answer, store: Store) -> dict[str, Any]:
    """The answer to POST composite. answer takes one subrequest. Raises Refusal for a malformed request."""
    refers = b"@{" in request.body or b"\\u00" in request.body  # JSON may have escaped either
    headers = dict(request.headers)
    requests = body.get("compositeRequest") if isinstance(body, dict) else None
    if not isinstance(requests, list) or not requests or not all(isinstance(each, dict) for each in requests):
        raise Refusal("JSON_PARSER_ERROR", "The request needs a compositeRequest list at [line:1, column:1]")
    refusal = _limits(requests)
    if refusal is not None:
        # Recorded on a real org: the call itself succeeds, and the one inner answer says what is wrong.
        return {"compositeResponse": [_result(None, 400, refusal.body(), {})]}
    all_or_none = bool(body.get("allOrNone"))
    results: list[dict[str, Any]] = []
    references: dict[str, bytes] = {}
    try:
        with store.savepoint() if all_or_none else nullcontext():
            for each in requests:
                result = _one(each, references if refers else None, headers, answer)
                results.append(result)
                if result["httpStatusCode"] >= 300 and all_or_none:
                    raise _Failed  # noqa: TRY301 - it has to pass through the savepoint
    except _Failed:
        failed = len(results) - 1
        halted = Refusal(
            "PROCESSING_HALTED",
            "The transaction was rolled back since another operation in the same transaction failed.",
        ).body()
        results = [
            results[place] if place == failed else _result(each.get("referenceId"), 400, halted, {})
            for place, each in enumerate(requests)
        ]
    return {"compositeResponse": results}


def _limits(requests: list[dict[str, Any]]) -> Refusal | None:
    if len(requests) > MAX_REQUESTS:
        return Refusal("LIMIT_EXCEEDED", "The request can’t contain more than 25 operations.")  # noqa: RUF001 - as recorded
    if sum(1 for each in requests if _HEAVY.search(str(each.get("url")))) > MAX_HEAVY:
        return Refusal(
            "LIMIT_EXCEEDED", "The request can’t contain more than 5 query or sObject collections operations."  # noqa: RUF001 - as above
        )  # fmt: skip
    names = [each.get("referenceId") for each in requests]
    for name in names:
        if not isinstance(name, str) or re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_]*", name) is None:
            return Refusal(
                "INVALID_INPUT",
                f"Provided referenceId ('{name}') must start with a letter or a number, and it can contain only"
                " letters, numbers and underscores ('_').",
            )
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        return Refusal("INVALID_INPUT", f"Duplicate referenceId ('{repeated}')")
    return None


def _one(
    each: dict[str, Any], references: dict[str, bytes] | None, headers: dict[str, str], answer: Answer
) -> dict[str, Any]:  # fmt: skip
    """The answer to one subrequest. references: the earlier answers, None where nothing refers to them."""
    name = each.get("referenceId")
    url, value = str(each.get("url", "")), each.get("body")
    try:
        if references is not None:
            url, value = _fill(url, references), _fill_in(value, references)
    except Refusal as refusal:
        return _result(name, 400, refusal.body(), {})
    path, _, query = url.partition("?")
    own = {key.lower(): str(value) for key, value in (each.get("httpHeaders") or {}).items()}
    response = answer(
        Request(
            method=str(each.get("method", "GET")).upper(),
            path=path,
            raw_query=query,
            headers={**headers, **own, "content-type": "application/json"},
            body=b"",
            value=value,
        )
    )
    if references is not None:
        references[str(name)] = response.body
    content = orjson.Fragment(response.body) if response.body else None
    shown = {key: value for key, value in response.headers.items() if key == "Location"}
    return _result(name, response.status, content, shown)


def _result(name: Any, status: int, body: Any, headers: dict[str, str]) -> dict[str, Any]:
    return {"body": body, "httpHeaders": headers, "httpStatusCode": status, "referenceId": name}


def _fill_in(value: Any, references: dict[str, bytes]) -> Any:
    if isinstance(value, str):
        return _fill(value, references)
    if isinstance(value, list):
        return [_fill_in(each, references) for each in value]
    if isinstance(value, dict):
        return {name: _fill_in(each, references) for name, each in value.items()}
    return value


def _fill(text: str, references: dict[str, bytes]) -> str:
    def look_up(match: re.Match[str]) -> str:
        name, path = match.group(1), match.group(2)
        value: Any = orjson.loads(references.get(name) or b"null")
        for key, index in _STEP.findall(path):
            try:
                value = value[int(index)] if index else value[key]
            except (KeyError, IndexError, TypeError):
                raise Refusal(
                    "PROCESSING_HALTED",
                    f"Invalid reference specified. No value for {name}{path} found in {name}.",
                ) from None
        return str(value)

    return _REFERENCE.sub(look_up, text)
