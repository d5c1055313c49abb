"""SendGrid's suppression lists: who is on them, and how they are read and edited over HTTP.

Shapes: OpenAPI tsg_suppressions_v3.json. An address on a list is still accepted by mail/send with 202 and dropped
afterwards, which is why a sender has to read the lists.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from crmdrip.sandbox.http import Request, Response, json_response
from crmdrip.sandbox.sendgrid.answers import Problem, not_found, refuse

PAGE = 500
"""The largest and the default page (OpenAPI parameter PaginationCommonLimit)."""

DROP_REASONS = {
    "bounces": "Bounced Address",
    "invalid_emails": "Invalid",
    "spam_reports": "Spam Reporting Address",
    "unsubscribes": "Unsubscribed Address",
}
"""Lists that make SendGrid drop an email, with the reason of the `dropped` event. Blocks do not: they are retried."""


@dataclass(kw_only=True, slots=True)
class Entry:
    """One address on one list."""

    created: int
    """Epoch seconds."""
    email: str
    reason: str = ""
    status: str = ""
    """The enhanced status code ("5.1.1")."""
    ip: str = ""


@dataclass(kw_only=True, slots=True)
class Group:
    """One unsubscribe group."""

    id: int
    name: str
    description: str
    is_default: bool = False
    members: dict[str, Entry] = field(default_factory=dict)
    """By lower-case address."""


_SHAPES: dict[str, tuple[str, ...]] = {
    "bounces": ("created", "email", "reason", "status"),
    "blocks": ("created", "email", "reason", "status"),
    "invalid_emails": ("created", "email", "reason"),
    "spam_reports": ("created", "email", "ip"),
    "unsubscribes": ("created", "email"),
}


class Suppressions:
    """All lists of one account. Addresses are compared without case."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._lists: dict[str, dict[str, Entry]] = {name: {} for name in _SHAPES}
        self._groups: dict[int, Group] = {}

    def add(self, name: str, email: str, *, reason: str = "", status: str = "", ip: str = "") -> Entry:
        """Put an address on a list ("bounces", "blocks", ...); the newest entry counts. Raises KeyError."""
        entry = Entry(created=int(self._clock().timestamp()), email=email, reason=reason, status=status, ip=ip)
        entries = self._lists[name]
        entries.pop(email.lower(), None)
        entries[email.lower()] = entry
        return entry

    def remove(self, name: str, email: str) -> bool:
        """Take an address off a list; whether it was there. Raises KeyError for an unknown list."""
        return self._lists[name].pop(email.lower(), None) is not None

    def entries(self, name: str) -> list[Entry]:
        """The entries of a list, newest first. Raises KeyError for an unknown list."""
        return list(reversed(self._lists[name].values()))

    def add_group(self, name: str, description: str = "") -> Group:
        """Create an unsubscribe group."""
        group = Group(id=len(self._groups) + 20_001, name=name, description=description)
        self._groups[group.id] = group
        return group

    def join(self, group_id: int, email: str) -> None:
        """Put an address into an unsubscribe group. Raises KeyError for an unknown one."""
        self._groups[group_id].members[email.lower()] = Entry(created=int(self._clock().timestamp()), email=email)

    def drop_reason(self, email: str, group_id: int | None = None) -> str:
        """Why an email to the address is dropped, "" when it is not."""
        key = email.lower()
        for name, reason in DROP_REASONS.items():
            if key in self._lists[name]:
                return reason
        group = self._groups.get(group_id) if group_id is not None else None
        return "Unsubscribed Address" if group is not None and key in group.members else ""

    # HTTP

    def list_page(self, request: Request, name: str) -> Response:
        """GET /v3/suppression/{name}?start_time&end_time&limit&offset&email."""
        query = request.query()
        numbers: dict[str, int] = {}
        for key, default in (("start_time", 0), ("end_time", 1 << 62), ("limit", PAGE), ("offset", 0)):
            text = query.get(key, "")
            if text and not text.isdigit():
                return refuse(400, Problem(f"{key} must be an integer", key))
            numbers[key] = int(text) if text else default
        if not 1 <= numbers["limit"] <= PAGE:
            return refuse(400, Problem(f"limit must be between 1 and {PAGE}", "limit"))
        found = [e for e in self.entries(name) if numbers["start_time"] <= e.created <= numbers["end_time"]]
        if pattern := query.get("email", ""):
            matches = re.compile(".*".join(map(re.escape, pattern.split("%"))), re.IGNORECASE).match
            found = [entry for entry in found if matches(entry.email)]
        offset = numbers["offset"]
        return json_response(200, [_shape(e, name) for e in found[offset : offset + numbers["limit"]]])

    def list_delete(self, request: Request, name: str) -> Response:
        """DELETE /v3/suppression/{name} {"delete_all": true} or {"emails": [...]}."""
        try:
            body = request.json()
        except ValueError:
            body = {}
        if body.get("delete_all"):
            self._lists[name].clear()
        elif body.get("emails"):
            for email in body["emails"]:
                self.remove(name, email)
        else:
            return refuse(400, Problem("emails or delete_all is required", "emails"))
        return Response(status=204)

    def entry(self, name: str, email: str) -> Response:
        """GET /v3/suppression/{name}/{email}: an array of none or one."""
        found = self._lists[name].get(email.lower())
        return json_response(200, [_shape(found, name)] if found else [])

    def entry_delete(self, name: str, email: str) -> Response:
        """DELETE /v3/suppression/{name}/{email}."""
        return Response(status=204) if self.remove(name, email) else not_found()

    def global_add(self, request: Request) -> Response:
        """POST /v3/asm/suppressions/global {"recipient_emails": [...]}."""
        emails = _recipient_emails(request)
        if emails is None:
            return _no_recipients()
        for email in emails:
            self.add("unsubscribes", email)
        return json_response(201, {"recipient_emails": emails})

    def global_entry(self, email: str) -> Response:
        """GET /v3/asm/suppressions/global/{email}: {} when it is not suppressed."""
        found = self._lists["unsubscribes"].get(email.lower())
        return json_response(200, {"recipient_email": found.email} if found else {})

    def global_delete(self, email: str) -> Response:
        """DELETE /v3/asm/suppressions/global/{email}."""
        return Response(status=204) if self.remove("unsubscribes", email) else not_found()

    def groups(self) -> Response:
        """GET /v3/asm/groups."""
        return json_response(200, [_shape_group(group) for group in self._groups.values()])

    def group_create(self, request: Request) -> Response:
        """POST /v3/asm/groups {"name", "description", "is_default"}."""
        try:
            body = request.json()
        except ValueError:
            return refuse(400, Problem("Bad Request"))
        name, description = body.get("name"), body.get("description")
        if not isinstance(name, str) or not 0 < len(name) <= 30:
            return refuse(400, Problem("name is required and may have at most 30 characters", "name"))
        if not isinstance(description, str) or len(description) > 100:
            return refuse(400, Problem("description is required and may have at most 100 characters", "description"))
        group = self.add_group(name, description)
        group.is_default = bool(body.get("is_default", False))
        return json_response(201, _shape_group(group))

    def group(self, group_id: str) -> Response:
        """GET /v3/asm/groups/{id}."""
        group = self._group(group_id)
        return json_response(200, _shape_group(group)) if group else not_found()

    def group_members(self, group_id: str) -> Response:
        """GET /v3/asm/groups/{id}/suppressions: bare addresses."""
        group = self._group(group_id)
        return json_response(200, [entry.email for entry in group.members.values()]) if group else not_found()

    def group_add(self, request: Request, group_id: str) -> Response:
        """POST /v3/asm/groups/{id}/suppressions; an unknown group falls through to the global list, as there."""
        emails = _recipient_emails(request)
        if emails is None:
            return _no_recipients()
        group = self._group(group_id)
        now = int(self._clock().timestamp())
        for email in emails:
            if group is None:
                self.add("unsubscribes", email)
            else:
                group.members[email.lower()] = Entry(created=now, email=email)
        return json_response(201, {"recipient_emails": emails})

    def group_delete(self, group_id: str, email: str) -> Response:
        """DELETE /v3/asm/groups/{id}/suppressions/{email}."""
        group = self._group(group_id)
        gone = group is not None and group.members.pop(email.lower(), None) is not None
        return Response(status=204) if gone else not_found()

    def group_suppressions(self) -> Response:
        """GET /v3/asm/suppressions: every member of every group, all at once."""
        rows = [
            {"email": entry.email, "group_id": group.id, "group_name": group.name, "created_at": entry.created}
            for group in self._groups.values()
            for entry in group.members.values()
        ]
        return json_response(200, rows)

    def group_search(self, request: Request, group_id: str) -> Response:
        """POST /v3/asm/groups/{id}/suppressions/search: those of the asked addresses that are in the group."""
        emails = _recipient_emails(request)
        if emails is None:
            return _no_recipients()
        group = self._group(group_id)
        if group is None:
            return not_found()
        return json_response(200, [email for email in emails if email.lower() in group.members])

    def groups_of(self, email: str) -> Response:
        """GET /v3/asm/suppressions/{email}: every group, and whether the address is in it."""
        key = email.lower()
        rows = [
            {
                "id": group.id,
                "name": group.name,
                "description": group.description,
                "is_default": group.is_default,
                "suppressed": key in group.members,
            }
            for group in self._groups.values()
        ]
        return json_response(200, {"suppressions": rows})

    def _group(self, group_id: str) -> Group | None:
        return self._groups.get(int(group_id)) if group_id.isdigit() else None


def _shape(entry: Entry, name: str) -> dict[str, Any]:
    return {key: getattr(entry, key) for key in _SHAPES[name]}


def _shape_group(group: Group) -> dict[str, Any]:
    return {
        "id": group.id,
        "name": group.name,
        "description": group.description,
        "is_default": group.is_default,
        "unsubscribes": len(group.members),
    }


def _recipient_emails(request: Request) -> list[str] | None:
    try:
        body = request.json()
    except ValueError:
        return None
    emails = body.get("recipient_emails") if isinstance(body, dict) else None
    if not isinstance(emails, Iterable) or isinstance(emails, str):
        return None
    found = list(emails)
    return found if found and all(isinstance(email, str) and "@" in email for email in found) else None


def _no_recipients() -> Response:
    return refuse(400, Problem("recipient_emails must be an array of email addresses", "recipient_emails"))
