"""The org: its state, its rules and its switches, for the REST API and for whoever plays the people in it."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from crmdrip.sandbox.faults import Faults
from crmdrip.sandbox.http import Request, Response
from crmdrip.sandbox.salesforce import ids
from crmdrip.sandbox.salesforce.access import Profile
from crmdrip.sandbox.salesforce.auth import ClientApp, Sessions
from crmdrip.sandbox.salesforce.collection import Collections
from crmdrip.sandbox.salesforce.lifecycle import Conversion, Lifecycle
from crmdrip.sandbox.salesforce.metadata.deployment import Deployments
from crmdrip.sandbox.salesforce.metadata.tree import load_shipped
from crmdrip.sandbox.salesforce.queries import Queries
from crmdrip.sandbox.salesforce.records import Records
from crmdrip.sandbox.salesforce.refusals import Refusal
from crmdrip.sandbox.salesforce.rest import RestApi
from crmdrip.sandbox.salesforce.rules import Actor, Write
from crmdrip.sandbox.salesforce.schema import load_schema
from crmdrip.sandbox.salesforce.seeding import seed_rows
from crmdrip.sandbox.salesforce.store import Store
from crmdrip.sandbox.salesforce.switches import Switches
from crmdrip.sandbox.salesforce.values import from_ms, to_ms

API = "/services/data/v64.0"
"""The path that in-process answers show in their urls."""

DEFAULT_KEY = "3MVG9.sandbox.key"
DEFAULT_SECRET = "sandbox-secret"

PERMISSION_SET = "Drip_Integration"
"""Of the package, for the user that crmdrip logs in as."""
EDITOR_SET = "Drip_Sequence_Editor"
"""Of the package, for admins and whoever writes sequences."""

_TASK_STATUSES = (
    ("Not Started", 1, True, False),
    ("In Progress", 2, False, False),
    ("Completed", 3, False, True),
    ("Waiting on someone else", 4, False, False),
    ("Deferred", 5, False, False),
)


class SalesforceOrg(Switches):
    """One org. `handle` answers HTTP requests; everything else is what people and admins do inside it.

    Not thread-safe: use it from the thread that serves it (ServerThread.call).
    """

    def __init__(
        self,
        clock: Callable[[], datetime],
        *,
        org_id: str = "00DDr0000000001",
        name: str = "Acme Sandbox",
        my_domain: str = "acme.my.salesforce.com",
        instance_url: str = "",
        is_sandbox: bool = False,
        daily_limit: int = 100_000,
        opt_out_hidden: bool = False,
        session_idle: timedelta = timedelta(hours=2),
        seed: int = 0,
        bare: bool = False,
    ) -> None:
        """Open an org with an admin, an integration user, and a client app for it.

        clock gives aware datetimes; stamps follow it. instance_url defaults to https on My Domain.
        opt_out_hidden hides HasOptedOutOfEmail from the API user, as real orgs do until an admin grants it.
        bare: nothing is installed, and the integration user sees nothing yet, as on the first day of a real org.
        Otherwise the package that crmdrip ships is installed, and its permission set is assigned.
        """
        self.clock = clock
        self.schema = load_schema()
        self.store = Store(self.schema)
        self.records = Records(self.store, clock)
        self.access = self.records.access
        self.deployments = Deployments(self)
        self.lifecycle = Lifecycle(self.records)
        self.collections = Collections(self.records, self.lifecycle)
        self.queries = Queries(self.store, clock)
        self.faults = Faults(seed)
        self.daily_limit = daily_limit
        self.calls_by_kind: Counter[str] = Counter()
        """Answered API calls by kind: query, query_more, describe, limits, record, collections, composite."""
        self._window: deque[tuple[datetime, int]] = deque()
        self._in_window = 0
        self._last_stamp = 0
        self.lead_field_map: dict[str, str] = {}
        """Contact fields by lead fields that a conversion carries over (Lead Field Mapping)."""
        self.org_id = ids.complete(org_id[:15])
        self.my_domain = my_domain
        self.former_domains: set[str] = set()
        self.sessions = Sessions(
            clock,
            org_id=self.org_id,
            my_domain=my_domain,
            instance_url=instance_url or f"https://{my_domain}",
            find_user=self._active_user,
            idle=session_idle,
        )
        self._rest = RestApi(self)
        self._furnish(name, is_sandbox=is_sandbox, bare=bare)
        if opt_out_hidden:
            for object_name in ("Contact", "Lead"):
                self.hide_field(object_name, "HasOptedOutOfEmail")

    def _furnish(self, name: str, *, is_sandbox: bool, bare: bool) -> None:
        stamp = self.next_stamp()
        self.admin_id = ids.mint("005", self.store.next_number("User"))
        audit = {
            "CreatedDate": stamp,
            "CreatedById": self.admin_id,
            "LastModifiedDate": stamp,
            "LastModifiedById": self.admin_id,
            "SystemModstamp": stamp,
        }
        admin = {"Username": "admin@acme.example", "LastName": "Admin", "Email": "admin@acme.example", "Alias": "admin"}
        row = {**admin, "Id": self.admin_id, "Name": "Admin", "IsActive": 1, "UserType": "Standard", **audit}
        self.store.insert("User", row)
        self.integration_user_id = self.insert(
            "User",
            {
                "Username": "crmdrip@acme.example",
                "LastName": "Integration",
                "Email": "crmdrip@acme.example",
                "Alias": "drip",
            },
        )
        organization = {
            "Id": self.org_id,
            "Name": name,
            "IsSandbox": int(is_sandbox),
            "OrganizationType": "Enterprise Edition",
            "TimeZoneSidKey": "America/Los_Angeles",
            "InstanceName": "DR0",
            **audit,
        }
        self.store.insert("Organization", organization)
        for label, order, default, closed in _TASK_STATUSES:
            status = {
                "Id": ids.mint("01Z", self.store.next_number("TaskStatus")),
                "MasterLabel": label,
                "ApiName": label,
                "SortOrder": order,
                "IsDefault": int(default),
                "IsClosed": int(closed),
                **audit,
            }
            self.store.insert("TaskStatus", status)
        self.register_app(DEFAULT_KEY, DEFAULT_SECRET, run_as=self.integration_user_id)
        self.access.profiles[self.admin_id] = Profile.ADMINISTRATOR
        self.access.user_id = self.integration_user_id
        if bare:
            self.access.profiles[self.integration_user_id] = Profile.MINIMUM
        else:
            self.deployments.install(load_shipped())
            self.assign(PERMISSION_SET)
            self.assign(EDITOR_SET, to=self.admin_id)

    def assign(self, permission_set: str, *, to: str | None = None) -> None:
        """Assign a permission set to a user, the integration user by default. Raises ValueError for an unknown set."""
        found = self.store.ids_where("PermissionSet", "Name", permission_set)
        if not found:
            raise ValueError(f"there is no permission set {permission_set}")
        row = {"AssigneeId": to or self.integration_user_id, "PermissionSetId": found[0], "IsActive": True}
        self.seed("PermissionSetAssignment", [row])
        self.access.changed()

    # serving

    def handle(self, request: Request) -> Response:
        """Answer one HTTP request: the handler for crmdrip.sandbox.http.Server."""
        return self._rest.answer(request)

    def close(self) -> None:
        """Give back the memory."""
        self.store.close()

    # time and calls

    def next_stamp(self) -> int:
        """The stamp of the next write: the clock's time, and always later than the stamp before."""
        self._last_stamp = max(to_ms(self.clock()), self._last_stamp + 1)
        return self._last_stamp

    def server_time(self) -> datetime:
        """What the Date header shows: never before the newest stamp."""
        return max(self.clock(), from_ms(self._last_stamp))

    @property
    def api_calls(self) -> int:
        """How many API calls were answered since the org was opened; token requests do not count."""
        return sum(self.calls_by_kind.values())

    def count_call(self, kind: str) -> None:
        """Count one API call."""
        self.calls_by_kind[kind] += 1
        self._in_window += 1
        minute = self.clock().replace(second=0, microsecond=0)
        count = 1
        if self._window and self._window[-1][0] == minute:
            count += self._window.pop()[1]
        self._window.append((minute, count))

    def api_calls_today(self) -> int:
        """API calls of the last 24 hours, to the minute."""
        start = self.clock() - timedelta(hours=24)
        while self._window and self._window[0][0] <= start:
            self._in_window -= self._window.popleft()[1]
        return self._in_window

    def limits(self) -> dict[str, dict[str, int]]:
        """What GET /limits answers."""
        used = self.api_calls_today()
        storage = 0 if self.records.storage_full else 1_000
        return {
            "DailyApiRequests": {"Max": self.daily_limit, "Remaining": max(0, self.daily_limit - used)},
            "DailyBulkV2QueryJobs": {"Max": 10_000, "Remaining": 10_000},
            "DataStorageMB": {"Max": 10_000, "Remaining": storage},
            "FileStorageMB": {"Max": 10_000, "Remaining": 10_000},
        }

    # people

    def insert(self, object_name: str, values: Mapping[str, Any], *, by: str | None = None) -> str:
        """Create one record as a person (the admin by default) and return its id. Raises Refusal."""
        return self.insert_many(object_name, [values], by=by)[0]

    def insert_many(
        self, object_name: str, rows: Iterable[Mapping[str, Any]], *, by: str | None = None
    ) -> list[str]:  # fmt: skip
        """Create records as a person, all or none, and return their ids. Raises Refusal."""
        spec, write = self.schema[object_name], self._write(by)
        with self.store.savepoint():
            return [self.records.insert(spec, row, write) for row in rows]

    def seed(
        self, object_name: str, rows: Iterable[Mapping[str, Any]], *, at: datetime | None = None
    ) -> list[str]:  # fmt: skip
        """Put rows in without asking any rule, fast, and return their ids.

        Rows hold Python values and may set read-only fields; stamps default to `at` (now), one step per 200 rows.
        """
        first = self.next_stamp() if at is None else to_ms(at)
        result, last = seed_rows(self.store, self.schema[object_name], rows, self.admin_id, first)
        if at is None:
            self._last_stamp = max(self._last_stamp, last)
        return result

    def update(self, record_id: str, values: Mapping[str, Any], *, by: str | None = None) -> None:
        """Change one record as a person. Raises Refusal."""
        spec = self.schema.of_id(record_id)
        if spec is None:
            raise Refusal("MALFORMED_ID", f"malformed id {record_id}")
        with self.store.savepoint():
            self.records.update(spec, record_id, values, self._write(by))

    def delete(self, record_id: str, *, by: str | None = None) -> None:
        """Move a record into the recycle bin. Raises Refusal."""
        with self.store.savepoint():
            self.lifecycle.delete(record_id, self._write(by))

    def undelete(self, record_id: str, *, by: str | None = None) -> None:
        """Bring a record back from the recycle bin. Raises Refusal."""
        with self.store.savepoint():
            self.lifecycle.undelete(record_id, self._write(by))

    def merge(self, master_id: str, loser_ids: Sequence[str], *, by: str | None = None) -> None:
        """Merge losers into the master. Raises Refusal."""
        with self.store.savepoint():
            self.lifecycle.merge(master_id, loser_ids, self._write(by))

    def convert(
        self,
        lead_id: str,
        *,
        account_id: str | None = None,
        contact_id: str | None = None,
        opportunity_name: str | None = None,
        by: str | None = None,
    ) -> Conversion:
        """Convert a lead; with an opportunity when it gets a name. Raises Refusal."""
        with self.store.savepoint():
            return self.lifecycle.convert(
                lead_id,
                self._write(by),
                field_map=self.lead_field_map,
                account_id=account_id,
                contact_id=contact_id,
                opportunity_name=opportunity_name,
            )

    def add_person_account(self, **fields: Any) -> str:
        """A person account with these fields of its contact; the contact's id. Raises Refusal."""
        account = self.insert("Account", {"Name": fields["LastName"]})
        contact = self.insert("Contact", {**fields, "AccountId": account})
        self.store.update("Account", account, {"IsPersonAccount": 1, "PersonContactId": contact})
        self.store.update("Contact", contact, {"IsPersonAccount": 1})
        self.records.person_contacts.add(contact)
        return contact

    def change_owner(self, record_id: str, owner_id: str, *, by: str | None = None) -> None:
        """Give a record to another user. Raises Refusal."""
        self.update(record_id, {"OwnerId": owner_id}, by=by)

    def archive_activities(self, before: datetime) -> int:
        """Archive closed tasks and events dated before; returns how many."""
        return self.lifecycle.archive(before.astimezone(UTC).date().isoformat())

    def select(self, soql: str, *, everything: bool = False) -> list[dict[str, Any]]:
        """All records a query finds, seen by an admin: nothing is hidden. Raises Refusal."""
        page = self.queries.run(soql, base=API, hidden=_nothing_hidden, everything=everything)
        records: list[dict[str, Any]] = page["records"]
        while not page["done"]:
            page = self.queries.more(page["nextRecordsUrl"].rpartition("/")[2], base=API)
            records.extend(page["records"])
        return records

    def count(self, soql: str, *, everything: bool = False) -> int:
        """The answer to a SELECT COUNT(). Raises Refusal."""
        return int(self.queries.run(soql, base=API, hidden=_nothing_hidden, everything=everything)["totalSize"])

    def _write(self, by: str | None) -> Write:
        return Write(actor=Actor(user_id=by or self.admin_id), stamp=self.next_stamp())

    # admins

    def rename_my_domain(self, host: str) -> None:
        """Deploy another My Domain ("beta.my.salesforce.com"): logins tell it, and the old host leads to it."""
        self.former_domains.add(self.my_domain)
        self.my_domain = host
        self.sessions.move(host)

    def register_app(
        self,
        key: str,
        secret: str,
        *,
        run_as: str | None = None,
        public_key: str | bytes | None = None,
        approved: Iterable[str] = (),
    ) -> None:
        """Register a client app: run_as is the client credentials user, public_key (PEM) checks JWTs of approved users.

        Raises ValueError when the key is no RSA public key in PEM.
        """
        pem = public_key.encode() if isinstance(public_key, str) else public_key
        loaded = None if pem is None else load_pem_public_key(pem)
        if loaded is not None and not isinstance(loaded, RSAPublicKey):
            raise ValueError("the certificate of an app is an RSA key")
        self.sessions.apps[key] = ClientApp(
            key=key, secret=secret, run_as=run_as, public_key=loaded, approved=frozenset(approved)
        )

    def _active_user(self, username: str) -> str | None:
        row = self.store.db.execute(
            'SELECT "Id" FROM "User" WHERE "Username" = ? AND "IsActive" = 1', (username,)
        ).fetchone()  # fmt: skip
        return None if row is None else str(row[0])


def _nothing_hidden(_object_name: str, _field_name: str) -> bool:
    return False
