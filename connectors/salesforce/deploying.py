"""One deployment by the Metadata API's REST resource: sent, waited for, and its complaints made readable.

It rolls back as a whole when anything fails, and deletes nothing: no destructive changes, no purge. Source: Metadata
API guide, "Deploying Metadata with REST", read 2026-11-24.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import orjson
from urllib3.filepost import encode_multipart_formdata

from connectors.salesforce.client import SalesforceClient
from crmdrip.core.errors import ConfigurationError, CrmdripError, RejectedError, RetriableError
from crmdrip.ports import Purpose

_FIRST_WAIT, _LONGEST_WAIT = 0.5, 5.0
"""Seconds between two looks at how far it is."""
_PATIENCE = 1_800.0
"""Seconds until we stop looking; the org goes on by itself."""
_GOOD = "Succeeded"
_DONE = frozenset({_GOOD, "SucceededPartial", "Failed", "Canceled"})
"""By status: the guide's samples show the flags `done` and `success` now as booleans, now as text."""
_UNHEARD = 5
"""How many questions in a row may stay without an answer: the deployment goes on meanwhile."""
_SHOWN = 12
"""Complaints told in full."""

MAY_NOT = (
    "Log in as somebody who has the permission Modify Metadata Through Metadata API Functions, for the installation"
    " alone: set install_auth in [crm.salesforce] (docs/salesforce.md). Or type crmdrip install salesforce --package"
    " FOLDER, and install that with the sf command."
)

_ADVICE: Sequence[tuple[re.Pattern[str], str]] = (
    (re.compile(r"required field"), "It is required in this org: take the tick off Required, or map another field."),
    (
        re.compile(r"maximum number", re.IGNORECASE),
        "The object is full: delete fields nobody uses, or map some of your own (crmdrip map).",
    ),
    (
        re.compile(r"already a (field|child relationship) named", re.IGNORECASE),
        "Something of that name is there: rename it in Setup, or map yours (crmdrip map).",
    ),
    (
        re.compile(r"Cannot change|Cannot update", re.IGNORECASE),
        "It stands there as another type: map it, or rename it.",
    ),
    (re.compile(r"no \w+ named .* found"), "It is not in this org: an edition without it, or somebody has deleted it."),
    (re.compile(r"Unknown user permission"), "This edition does not have that permission."),
    (re.compile(r"Picklist value"), "Somebody took that value out of the picklist: activate it again."),
)
"""What a person can do, by what the vendor says."""


class Mode(Enum):
    """What a deployment is for."""

    INSTALL = "install"
    CHECK = "check"


@dataclass(frozen=True, kw_only=True, slots=True)
class Complaint:
    """One thing the org refused."""

    component: str
    file: str
    line: int
    """0 where it is not told."""
    problem: str

    @property
    def text(self) -> str:
        """In one line, with what to do about it."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        advice = next((words for pattern, words in _ADVICE if pattern.search(self.problem)), "")
        return " ".join(filter(None, (f"{self.component} ({place}): {self.problem.rstrip('.')}.", advice)))


def deploy(
    client: SalesforceClient,
    archive: bytes,
    mode: Mode,
    progress: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Deploy and wait. Raises RejectedError with every complaint, ConfigurationError where we may not, and the rest."""
    request = _send(client, archive, mode)
    waited, pause, told, unheard = 0.0, _FIRST_WAIT, "", 0
    while True:
        try:
            result, unheard = _ask(client, request), 0
        except RetriableError:
            unheard += 1
            if unheard > _UNHEARD:
                raise
            sleep(pause)
            continue
        if (line := _progress(result)) != told:
            told = line
            progress(line)
        if result.get("status") in _DONE:
            break
        if waited > _PATIENCE:
            raise RetriableError(
                f"the deployment {request} is not done after {_PATIENCE / 60:.0f} minutes, and goes on by itself.",
                where="Salesforce",
                do_next="See Setup, Deployment Status.",
            )
        sleep(pause)
        waited, pause = waited + pause, min(pause * 1.5, _LONGEST_WAIT)
    if result.get("status") != _GOOD:
        raise _refusal(result)


def _send(client: SalesforceClient, archive: bytes, mode: Mode) -> str:
    options = {
        "allowMissingFiles": False,
        "autoUpdatePackage": False,
        "checkOnly": mode is Mode.CHECK,
        "ignoreWarnings": True,
        "performRetrieve": False,
        "purgeOnDelete": False,
        "rollbackOnError": True,
        "singlePackage": True,
    }
    body, content_type = encode_multipart_formdata(
        {
            "json": ("", orjson.dumps({"deployOptions": options}).decode(), "application/json"),
            "file": ("package.zip", archive, "application/zip"),
        }
    )
    try:
        answer = client.call(
            "POST", "metadata/deployRequest", Purpose.PULL, content=body, content_type=content_type
        )  # fmt: skip
    except CrmdripError as error:
        if "INSUFFICIENT_ACCESS" in error.what:
            raise ConfigurationError(
                "the connected user may not change this org.", where="Salesforce", do_next=MAY_NOT
            ) from None
        raise
    return str(answer["id"])


def _ask(client: SalesforceClient, request: str) -> Mapping[str, Any]:
    answer = client.call("GET", f"metadata/deployRequest/{request}?includeDetails=true", Purpose.PULL)
    result: Mapping[str, Any] = answer["deployResult"]
    return result


def _progress(result: Mapping[str, Any]) -> str:
    status, total = result.get("status"), result.get("numberComponentsTotal") or 0
    if not total:
        return f"{status}."
    return f"{status}: {result.get('numberComponentsDeployed', 0)} of {total} components."


def _refusal(result: Mapping[str, Any]) -> CrmdripError:
    complaints = read_complaints(result)
    if not complaints:
        what = result.get("errorMessage") or f"the deployment ended as {result.get('status')}."
        return RejectedError(str(what), where="Salesforce", do_next="See Setup, Deployment Status.")
    shown = [f"  {one.text}" for one in complaints[:_SHOWN]]
    if more := len(complaints) - _SHOWN:
        shown += [f"  and {more} more: see Setup, Deployment Status."] if more > 0 else []
    return RejectedError(
        f"the org refused {len(complaints)} parts of the installation, so nothing was changed:\n" + "\n".join(shown),
        where="Salesforce",
    )


def read_complaints(result: Mapping[str, Any]) -> list[Complaint]:
    """Every component that failed, warnings left out. The vendor gives one failure as an object, and more as a list."""
    found = (result.get("details") or {}).get("componentFailures") or []
    failures = [found] if isinstance(found, dict) else found
    return [
        Complaint(
            component=" ".join(filter(None, (one.get("componentType") or "", one.get("fullName") or ""))),
            file=one.get("fileName") or "",
            line=int(one.get("lineNumber") or 0),
            problem=one.get("problem") or "no reason was given",
        )
        for one in failures
        if one.get("problemType") != "Warning"
    ]
