"""The control record: the emergency brake, who pulled it, and the newest heartbeat."""

from __future__ import annotations

from connectors.salesforce.client import Answers, Part
from connectors.salesforce.org import Org
from connectors.salesforce.records import Row, demand_text, parse_time
from connectors.salesforce.rows import control_values
from connectors.salesforce.schema import Access, Schema, control_query
from crmdrip.core.errors import ErrorClass, RateLimitedError, RetriableError
from crmdrip.core.model import Brake
from crmdrip.ports import ControlWrite, Purpose

_PART = "control"
_HEARTBEAT = "heartbeat"

_PASSING = frozenset({ErrorClass.RETRIABLE, ErrorClass.RATE_LIMITED, ErrorClass.AUTH})


class BrakeReader:
    """Asks for the control record beside other reads: by id it is no query and counts among no limit."""

    def __init__(self, org: Org) -> None:
        self._org = org
        self._pulled_by: str | None = None

    def parts(self, schema: Schema) -> list[Part]:
        """The request; a search only while there is no control record, nothing when the org has no such object."""
        if not schema.has("control"):
            return []
        names = schema.names("control", ("brake", "heartbeat", "claim", "modified_by"))
        if self._org.control_id is None:
            return [control_query(self._org.mapping, ["Id", *names.values()])]
        path = f"sobjects/{schema.objects['control'].name}/{self._org.control_id}?fields={','.join(names.values())}"
        return [Part(name=_PART, path=path)]

    def leave(self, schema: Schema, write: ControlWrite) -> list[Part]:
        """The request that writes a heartbeat. It comes after the reading, which tells who changed the record last."""
        if self._org.control_id is None or not schema.has("control"):
            return []
        fields = schema.writable("control", Access.UPDATE)
        if "heartbeat" not in fields:
            return []
        body = {fields[word].name: value for word, value in control_values(write).items() if word in fields}
        path = f"sobjects/{schema.objects['control'].name}/{self._org.control_id}"
        return [Part(name=_HEARTBEAT, method="PATCH", path=path, body=body)]

    def demand_left(self, answers: Answers) -> None:
        """Raises the error of a heartbeat that could not be left just now; an org that never takes one has none."""
        answer = answers.parts.get(_HEARTBEAT)
        fault = answer.fault if answer is not None else None
        if fault is not None and fault.error_class in _PASSING:
            raise fault.error(f"Salesforce ({_HEARTBEAT})")

    def read(self, schema: Schema, answers: Answers, purpose: Purpose) -> Brake | None:
        """The brake, None when it was not asked for. Raises the fault's error, except that the record is gone."""
        if _PART not in answers.parts:
            return None
        row = self._row(answers)
        if row is None:
            return Brake(pulled=False)
        pulled = bool(row[schema.name("control", "brake")])
        # Our own heartbeat changes the record as well; the person is whoever was there when it was not us.
        changed_by = row.get(schema.name("control", "modified_by"))
        if not pulled:
            self._pulled_by = None
        elif changed_by is not None and changed_by[:15] != self._org.client.token.user_id[:15]:
            self._pulled_by = changed_by
        claim = row.get(schema.name("control", "claim"))
        demand_text([claim])
        return Brake(
            pulled=pulled,
            by=self._name(schema, purpose),
            heartbeat=parse_time(row.get(schema.name("control", "heartbeat"))),
            claim=claim or "",
        )

    def _row(self, answers: Answers) -> Row | None:
        answer = answers.parts[_PART]
        if (fault := answer.fault) is not None:
            if fault.status != 404:
                raise fault.error(f"Salesforce ({_PART})")
            self._org.control_id = None  # deleted: searched for at the next reading
            return None
        row: Row = answer.body
        if "records" not in row:
            return row
        found: Row | None = next(iter(row["records"]), None)
        if found is not None:
            self._org.control_id = found["Id"]
        return found

    def _name(self, schema: Schema, purpose: Purpose) -> str:
        """Who pulled it; one call when the name is not remembered, and none while the brake is released.

        That the brake is pulled must be known even where the name cannot be read just now.
        """
        if self._pulled_by is None:
            return ""
        try:
            owner = self._org.parents.owners(schema, [self._pulled_by], purpose).get(self._pulled_by)
        except (RetriableError, RateLimitedError):
            return ""
        return owner.name if owner is not None else ""
