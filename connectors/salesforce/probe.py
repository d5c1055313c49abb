"""What only a write can tell about an org, asked by writing one task and deleting it again: for the doctor, on request.

Documents do not say whether a repeated touch is refused on Task, nor what the Salesforce Integration licence may set.
SF-PROBE-TASK, SF-PROBE-UNIQUE, SF-PROBE-SUBTYPE, SF-PROBE-OWNER, SF-PROBE-CLEAN.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from typing import Any

from connectors.salesforce import soql
from connectors.salesforce.client import Answer, Part
from connectors.salesforce.schema import PERMISSION_SET, Schema
from connectors.salesforce.source import SalesforceSource
from crmdrip.core.errors import CrmdripError
from crmdrip.ports import CheckResult, Purpose
from crmdrip.ports.finding import fail, ok, warn

WRITES = "one finished task without a person, for you and then for another user, and deletes it again"
_SUBJECT = "[Drip] Probe: crmdrip doctor writes this and deletes it"


def probe_org(source: SalesforceSource) -> Iterator[CheckResult]:
    """Every finding, in order. Whatever was written is deleted, whatever happens meanwhile. Raises nothing."""
    try:
        schema = source.org.ready()
        yield from _Probe(source, schema).run()
    except CrmdripError as error:
        yield fail("SF-PROBE-TASK", f"the probe cannot be made: {error}", error.do_next)


class _Probe:
    """One task on its way through an org."""

    def __init__(self, source: SalesforceSource, schema: Schema) -> None:
        self._client = source.org.client
        self._schema = schema
        self._name = schema.objects["task"].name
        self._user_id = self._client.user_id()
        self._field = schema.mapping.fields["task"]

    def run(self) -> Iterator[CheckResult]:
        """Write, look, delete."""
        task_id = ""
        try:
            values = self._values()
            answer = self._ask("POST", f"sobjects/{self._name}", values)
            if answer.fault is not None:
                yield fail(
                    "SF-PROBE-TASK",
                    f"a task cannot be written: {answer.fault.code} {answer.fault.message}".rstrip(),
                    answer.fault.do_next
                    or f"Assign the permission set {PERMISSION_SET} to the user that crmdrip logs in as.",
                )
                return
            task_id = str(answer.body["id"])
            yield ok("SF-PROBE-TASK", "a finished task can be written.")
            yield self._check_unique(values, task_id)
            yield from self._check_row(task_id)
        finally:
            if task_id:
                yield self._clean(task_id)

    def _values(self) -> dict[str, Any]:
        value, field = self._schema.mapping.value, self._field
        return {
            field["touch_id"]: f"probe-{secrets.token_hex(8)}",
            field["subject"]: _SUBJECT,
            field["status"]: self._schema.done_status,
            field["subtype"]: value("task", "email_subtype"),
            **self._schema.constants("task"),
        }

    def _check_unique(self, values: Mapping[str, Any], task_id: str) -> CheckResult:
        """A touch that is written twice stands once: on this rests every retried write-back (P1)."""
        again = self._ask("POST", f"sobjects/{self._name}", values)
        if again.fault is None:
            self._ask("DELETE", f"sobjects/{self._name}/{again.body['id']}")
            return fail(
                "SF-PROBE-UNIQUE",
                "a touch that is written twice stands twice on the timeline.",
                "Deploy the package's field Activity.Drip_Touch_Id__c again, with Unique ticked (crmdrip install).",
            )
        if again.fault.code != "DUPLICATE_VALUE" or task_id[:15] not in again.fault.message:
            return warn(
                "SF-PROBE-UNIQUE",
                f"a touch that is written twice is refused, but as {again.fault.code}: {again.fault.message}",
                "Report it: a repeated write-back may be parked here, and shown by crmdrip status.",
            )
        return ok("SF-PROBE-UNIQUE", "a touch that is written twice stands once.")

    def _check_row(self, task_id: str) -> Iterator[CheckResult]:
        subtype, owner = self._field["subtype"], self._field["owner"]
        wanted = self._schema.mapping.value("task", "email_subtype")
        found = self._ask("GET", f"sobjects/{self._name}/{task_id}?fields={subtype},{owner}")
        if found.fault is None and found.body.get(subtype) == wanted:
            yield ok("SF-PROBE-SUBTYPE", "emails stand on the timeline as emails.")
        else:
            yield warn(
                "SF-PROBE-SUBTYPE",
                f"the task did not become an email ({subtype}), so touches show as ordinary tasks.",
                "Nothing is lost; Setup, Activity Settings may have it switched off.",
            )
        other = self._other_user()
        if not other:
            yield ok("SF-PROBE-OWNER", "there is no other active user whose task it could be.")
            return
        given = self._ask("PATCH", f"sobjects/{self._name}/{task_id}", {owner: other})
        if given.fault is None:
            yield ok("SF-PROBE-OWNER", "tasks can be written for other users.")
            if self._user_id:  # back to us: what is another's we might not be allowed to delete
                self._ask("PATCH", f"sobjects/{self._name}/{task_id}", {owner: self._user_id})
        else:
            yield warn(
                "SF-PROBE-OWNER",
                f"tasks cannot be written for other users: {given.fault.code}. They go to crmdrip's own user.",
                f"Assign the permission set {PERMISSION_SET}, and make the owners' role or sharing reach this user.",
            )

    def _other_user(self) -> str:
        user = self._schema.objects["user"]
        where = [f"{self._schema.mapping.field('user', 'active')} = true", "UserType = 'Standard'"]
        if self._user_id:
            where.append(f"Id != {soql.quote(self._user_id)}")
        text = soql.select(["Id"], user.name, where=where, limit=1)
        answer = self._client.read([soql.query("others", text)], Purpose.LOOK).parts["others"]
        rows = [] if answer.fault is not None else list(answer.body["records"])
        return str(rows[0]["Id"]) if rows else ""

    def _clean(self, task_id: str) -> CheckResult:
        try:
            gone = self._ask("DELETE", f"sobjects/{self._name}/{task_id}")
            reason = "" if gone.fault is None else gone.fault.code
        except CrmdripError as error:
            reason = error.what
        if not reason:
            return ok("SF-PROBE-CLEAN", "the task was deleted again.")
        what = f"the task {task_id} could not be deleted: {reason}."
        return warn("SF-PROBE-CLEAN", what, f"Delete it by hand: /{task_id} in the browser.")

    def _ask(self, method: str, path: str, body: Any = None) -> Answer:
        part = Part(name="probe", path=path, method=method, body=body)
        return self._client.write([part], Purpose.LOOK).parts["probe"]
