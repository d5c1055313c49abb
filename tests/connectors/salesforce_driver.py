"""People and admins at work in the Salesforce stand-in, in the words of the CRM contract."""

# ruff: noqa: D102 - what each does is said by CrmDriver
# ruff: noqa: S608 - queries of a test against a stand-in

from __future__ import annotations

import orjson
from salesforce_peer import SalesforcePeer, load_mapping

from crmdrip.core.model import RecordKind, RecordRef
from crmdrip.sandbox.faults import Fault, FaultKind
from crmdrip.testing.crm import CrmTrouble


def error_body(code: str, message: str) -> str:
    return orjson.dumps([{"errorCode": code, "message": message}]).decode()


class SalesforceDriver:
    """A CrmDriver for the stand-in."""

    def __init__(self, peer: SalesforcePeer) -> None:
        self.peer = peer
        self.mapping = load_mapping()

    def add_person(self, kind: RecordKind, *, email: str, **words: object) -> RecordRef:
        fields = {"LastName": email.partition("@")[0], "Email": email, **self._fields(kind.value, words)}
        if kind is RecordKind.LEAD:
            fields["Company"] = "Acme"
        return RecordRef(kind=kind, id=self.peer.do("insert", kind.value.title(), fields))

    def change(self, ref: RecordRef, **words: object) -> None:
        self.peer.do("update", ref.id, self._fields(ref.kind.value, words))

    def read(self, ref: RecordRef, word: str) -> object:
        return self.peer.one(ref.id)[self.mapping.field(ref.kind.value, word)]

    def add_sequence(self, name: str, steps: list[str]) -> str:
        sequence = self.peer.do("insert", "Drip_Sequence__c", {"Name": name})
        for number, subject in enumerate(steps, 1):
            step = {
                "Name": str(number),
                "Drip_Sequence__c": sequence,
                "Drip_Order__c": number,
                "Drip_Kind__c": "Email",
                "Drip_Delay__c": 1,
                "Drip_Delay_Unit__c": "Days",
                "Drip_Subject__c": subject,
                "Drip_Body__c": f"Body of {subject}",
            }
            self.peer.do("insert", "Drip_Step__c", step)
        self.peer.do("update", sequence, {"Drip_Status__c": "Live"})
        return sequence

    def step_ids(self, sequence_id: str) -> list[str]:
        soql = f"SELECT Id FROM Drip_Step__c WHERE Drip_Sequence__c = '{sequence_id}' ORDER BY Drip_Order__c"
        return [row["Id"] for row in self.peer.do("select", soql)]

    def change_step(self, step_id: str, **words: object) -> None:
        self.peer.do("update", step_id, self._fields("step", words))

    def delete(self, record_id: str) -> None:
        self.peer.do("delete", record_id)

    def restore(self, record_id: str) -> None:
        self.peer.do("undelete", record_id)

    def merge(self, winner: RecordRef, loser: RecordRef) -> RecordRef:
        self.peer.do("merge", winner.id, [loser.id])
        return winner

    def convert(self, lead: RecordRef, *, opportunity: bool) -> RecordRef:
        done = self.peer.do("convert", lead.id, opportunity_name="New deal" if opportunity else None)
        return RecordRef(kind=RecordKind.CONTACT, id=done.contact_id)

    def book_meeting(self, ref: RecordRef, subject: str) -> None:
        start = self.peer.clock.now().replace(microsecond=0)
        event = {
            "WhoId": ref.id,
            "Subject": subject,
            "StartDateTime": start.replace(year=start.year + 1).isoformat(),
            "DurationInMinutes": 30,
        }
        self.peer.do("insert", "Event", event)

    def meet(self, ref: RecordRef, subject: str, *, past: bool = False, private: bool = False, series: bool = False):
        start = self.peer.clock.now().replace(microsecond=0)
        event = {
            "WhoId": ref.id,
            "Subject": subject,
            "StartDateTime": start.replace(year=start.year - 1 if past else start.year + 1).isoformat(),
            "DurationInMinutes": 30,
            "IsPrivate": private,
        }
        created = self.peer.do("insert", "Event", event)
        if series:
            store = self.peer.org.store
            self.peer.thread.call(lambda: store.update("Event", created, {"RecurrenceActivityId": created}))

    def invite(self, ref: RecordRef, subject: str, organizer: RecordRef | None = None) -> None:
        start = self.peer.clock.now().replace(microsecond=0)
        event = {
            "WhoId": organizer.id if organizer is not None else None,
            "Subject": subject,
            "StartDateTime": start.replace(year=start.year + 1).isoformat(),
            "DurationInMinutes": 30,
        }
        created = self.peer.do("insert", "Event", event)
        self.peer.do("insert", "EventRelation", {"EventId": created, "RelationId": ref.id, "Status": "New"})

    def log_email(self, ref: RecordRef, *, sender: str, subject: str, text: str, headers: str = "") -> None:
        email = {
            "Incoming": True,
            "Status": "0",
            "FromAddress": sender,
            "ToAddress": "rita@vendor.example",
            "Subject": subject,
            "TextBody": text,
            "Headers": headers or None,
            "MessageDate": self.peer.clock.now().isoformat(),
        }
        created = self.peer.do("insert", "EmailMessage", email)
        relation = {"EmailMessageId": created, "RelationId": ref.id, "RelationType": "FromAddress"}
        self.peer.do("insert", "EmailMessageRelation", relation)

    def open_opportunity(self, ref: RecordRef, name: str) -> None:
        deal = {"Name": name, "StageName": "Prospecting", "CloseDate": "2027-01-31"}
        opportunity = self.peer.do("insert", "Opportunity", deal)
        self.peer.do("insert", "OpportunityContactRole", {"OpportunityId": opportunity, "ContactId": ref.id})

    def set_brake(self, *, pulled: bool) -> None:
        rows = self.peer.do("select", "SELECT Id FROM Drip_Control__c")
        if rows:
            self.peer.do("update", rows[0]["Id"], {"Drip_Brake__c": pulled})
        else:
            self.peer.do("insert", "Drip_Control__c", {"Name": "Drip", "Drip_Brake__c": pulled})

    def control(self) -> dict:
        (row,) = self.peer.do("select", "SELECT Id FROM Drip_Control__c")
        return self._words("control", self.peer.one(row["Id"]))

    def add_user(self, name: str, email: str, *, active: bool) -> str:
        first, last = name.split()
        user = {"FirstName": first, "LastName": last, "Email": email, "Username": email, "Alias": first[:8]}
        return self.peer.do("insert", "User", {**user, "IsActive": active})

    def add_queue(self, name: str) -> str:
        return self.peer.do("insert", "Group", {"Name": name, "Type": "Queue"})

    def timeline(self, ref: RecordRef) -> list[dict]:
        soql = f"SELECT Id FROM Task WHERE WhoId = '{ref.id}' ORDER BY Id"
        return [self._words("task", self.peer.one(row["Id"])) for row in self.peer.do("select", soql)]

    def finish_task(self, touch_id: str) -> None:
        (row,) = self.peer.do("select", f"SELECT Id FROM Task WHERE Drip_Touch_Id__c = '{touch_id}'")
        self.peer.do("update", row["Id"], {"Status": "Completed"})

    def sequence(self, sequence_id: str) -> dict:
        return self._words("sequence", self.peer.one(sequence_id))

    def refuse_changes_of(self, ref: RecordRef, message: str) -> None:
        self.peer.do("add_validation_rule", ref.kind.value.title(), lambda row: row["Id"] == ref.id, message)

    def lock(self, ref: RecordRef) -> None:
        self.peer.do("lock_row", ref.id)

    def unlock(self, ref: RecordRef) -> None:
        self.peer.do("unlock_row", ref.id)

    def trouble(self, trouble: CrmTrouble) -> None:
        faults = self.peer.org.faults
        match trouble:
            case CrmTrouble.LOGGED_OUT:
                self.peer.thread.call(self.peer.org.sessions.end_all)
            case CrmTrouble.DENIED:
                refusal = '{"error":"invalid_client","error_description":"invalid client credentials"}'
                faults.add(Fault(kind=FaultKind.ANSWER, path="/oauth2/token", times=None, status=400, body=refusal))
            case CrmTrouble.DOWN:
                body = error_body("SERVER_UNAVAILABLE", "Server too busy.")
                faults.add(Fault(kind=FaultKind.ANSWER, path="/data/", times=None, status=503, body=body))
            case CrmTrouble.QUOTA_GONE:
                body = error_body("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
                faults.add(Fault(kind=FaultKind.ANSWER, path="/data/", times=None, status=403, body=body))
            case CrmTrouble.CUT_AFTER_WRITE:
                faults.predicate = lambda request: (
                    Fault(kind=FaultKind.CUT_AFTER) if b'"records":[' in request.body else None
                )
            case CrmTrouble.OPT_OUT_HIDDEN:
                for name in ("Contact", "Lead"):
                    self.peer.do("hide_field", name, "HasOptedOutOfEmail")

    def recover(self) -> None:
        self.peer.org.faults.clear()
        for name in ("Contact", "Lead"):
            self.peer.do("show_field", name, "HasOptedOutOfEmail")

    def short_pages(self, rows: int) -> None:
        self.peer.org.faults.add(Fault(kind=FaultKind.SHORT_PAGE, times=None, rows=rows))

    def pass_time(self, seconds: float) -> None:
        self.peer.clock.move(seconds=seconds)

    def _fields(self, object_word: str, words: dict) -> dict:
        merge = self.mapping.merge.get(object_word, {})
        known = self.mapping.fields[object_word]
        return {known.get(word) or merge[word]: value for word, value in words.items()}

    def _words(self, object_word: str, row: dict) -> dict:
        return {word: row.get(name) for word, name in self.mapping.fields[object_word].items()}
