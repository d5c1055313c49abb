"""The control API below /_sandbox/: moves the clock, ticks boxes, arms faults, and tells what happened. JSON only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from datetime import datetime, timedelta
from typing import Any

from crmdrip.sandbox.clock import SandboxClock
from crmdrip.sandbox.courier import Courier
from crmdrip.sandbox.faults import Fault
from crmdrip.sandbox.http import Request, Response, Server, json_response
from crmdrip.sandbox.sendgrid import LIVELY, AcceptedEmail, Disturbances, SendGridAccount
from crmdrip.sandbox.view import CrmView
from crmdrip.sandbox.wires import REPLY_DOMAIN, change_form, connect
from crmdrip.sandbox.world import SENDING_DOMAIN, Answer, Happened, Violation, World

PAGE = 1_000
"""The most rows of /accepted and /people at once."""


class BadRequestError(Exception):
    """The request cannot be understood; the text says why."""


class ControlApi:
    """One handler. `servers` are those whose latency can be set, by name."""

    prefix = "/_sandbox/"

    def __init__(
        self,
        crm: CrmView,
        account: SendGridAccount,
        world: World,
        clock: SandboxClock,
        courier: Courier,
        *,
        sendgrid_key: str,
    ) -> None:
        self._crm = crm
        self._account = account
        self._world = world
        self._clock = clock
        self._courier = courier
        self._sendgrid_key = sendgrid_key
        self.servers: dict[str, Server] = {}
        self._routes: dict[tuple[str, str], Callable[[Request], Any]] = {
            ("GET", "health"): lambda _: {"ok": True},
            ("GET", "clock"): lambda _: self._show_clock(),
            ("POST", "clock"): self._post_clock,
            ("GET", "state"): lambda _: self.state(),
            ("POST", "tick_boxes"): self._post_tick_boxes,
            ("POST", "faults"): self._post_faults,
            ("POST", "latency"): self._post_latency,
            ("POST", "disturbances"): self._post_disturbances,
            ("POST", "connect"): self._post_connect,
            ("POST", "inbound_form"): self._post_inbound_form,
            ("GET", "pending"): lambda _: {"requests": self._courier.pending},
            ("GET", "accepted"): self._get_accepted,
            ("GET", "happened"): self._get_happened,
            ("GET", "answers"): self._get_answers,
            ("GET", "people"): self._get_people,
            ("GET", "violations"): lambda _: [_show_violation(each) for each in self._world.violations()],
        }

    def extend(self, routes: Mapping[tuple[str, str], Callable[[Request], Any]]) -> None:
        """Add operations of one CRM's own, by method and name. They raise ValueError for what cannot be done."""
        self._routes.update(routes)

    def handle(self, request: Request) -> Response:
        """Answer one request: 400 with {"error": ...} for what cannot be done."""
        name = request.path.removeprefix(self.prefix)
        route = self._routes.get((request.method, name))
        if route is None:
            known = any(name == other for _, other in self._routes)
            return json_response(405 if known else 404, {"error": f"no {request.method} {request.path}"})
        try:
            return json_response(200, route(request))
        except (BadRequestError, ValueError, TypeError) as error:
            return json_response(400, {"error": str(error)})

    def move_clock(self, now: datetime) -> list[Happened]:
        """Move the clock and the world with it. Raises ValueError for a time without a zone or in the past."""
        if self._clock.speed or now.tzinfo is None or now < self._clock():
            self._clock.set(now)
        return self.advance(now)

    def advance(self, now: datetime) -> list[Happened]:
        """Let everything happen that is due by now, and then the webhooks go out."""
        happened = self._world.advance(now)
        self._account.advance(now)
        self._crm.advance(now)
        return happened

    def state(self) -> dict[str, Any]:
        """Everything a demo's last line needs."""
        accepted = self._account.accepted
        violations = self._world.violations()
        return {
            "now": self._clock().isoformat(),
            "people": len(self._world.people),
            "boxes_ticked": sum(1 for each in self._world.happened if each.deed == "tick"),
            "ticked": self._crm.count_ticked(),
            "accepted": len(accepted),
            "to_reps": sum(email.to.lower().endswith(f"@{SENDING_DOMAIN}") for email in accepted),
            "fates": dict(Counter(email.fate.value for email in accepted)),
            "duplicates": sum(count - 1 for count in self._account.duplicates().values()),
            "touches_after_stop": len(violations),
            "stops": self._world.stops.counts(),
            "statuses": self._crm.count_statuses(),
            "ticked_without_status": self._crm.count_without_status(),
            "happened": dict(Counter(each.deed.value for each in self._world.happened)),
            "scheduled": self._world.scheduled,
            "answers": dict(Counter(each.truth.value for each in self._world.actions.answers.all)),
            "unasked_opt_outs": len(self._world.unasked_opt_outs()),
            "links_scanned": self._world.engagement.scans,
            "requests_pending": self._courier.pending,
            "one_clicks_failed": len(self._world.actions.failed_one_clicks),
            "webhooks_delivered": self._account.deliveries.delivered,
            "webhooks_refused": len(self._account.deliveries.refused),
            "webhooks_lost": len(self._account.deliveries.lost),
            "crm_calls": sum(self._crm.calls_by_kind.values()),
            "crm_calls_by_kind": dict(self._crm.calls_by_kind),
            "provider_requests": dict(self._account.calls),
            "errors": {name: [repr(error) for error in server.errors] for name, server in self.servers.items()},
        }

    def _show_clock(self) -> dict[str, Any]:
        moments = (self._world.next_due, self._account.next_due, self._crm.next_due)
        due = min((at for at in moments if at is not None), default=None)
        return {
            "now": self._clock().isoformat(),
            "speed": self._clock.speed,
            "next_due": due.isoformat() if due is not None else None,
        }

    def _post_clock(self, request: Request) -> dict[str, Any]:
        body = _object(request, {"now", "seconds", "speed"})
        if "speed" in body:
            self._clock.run(float(body["speed"]))
        now = self._clock()
        if "now" in body:
            now = datetime.fromisoformat(body["now"])
        elif "seconds" in body:
            now += timedelta(seconds=float(body["seconds"]))
        happened = self.move_clock(now)
        shown = [_show_happened(each) for each in happened]
        return {**self._show_clock(), "happened": shown, "requests_pending": self._courier.pending}

    def _post_tick_boxes(self, request: Request) -> dict[str, Any]:
        body = _object(request, {"share", "days"})
        share, days = float(body.get("share", 0.5)), float(body.get("days", 3))
        if not 0 <= share <= 1 or days < 0:
            raise BadRequestError("share lies between 0 and 1, and days are not negative")
        return {"boxes": self._world.tick_boxes(share, days=days)}

    def _post_faults(self, request: Request) -> dict[str, Any]:
        body = _object(request, {"on", "add", "clear"})
        stand_ins = {self._crm.name: self._crm.faults, "sendgrid": self._account.faults}
        faults = stand_ins.get(body.get("on", ""))
        if faults is None:
            raise BadRequestError(f'"on" is one of {", ".join(stand_ins)}')
        if body.get("clear"):
            faults.clear()
        added = [Fault.from_json(each) for each in body.get("add", ())]
        faults.add(*added)
        return {"added": len(added), "played": len(faults.played)}

    def _post_latency(self, request: Request) -> dict[str, float]:
        for name, seconds in _object(request, set(self.servers)).items():
            self.servers[name].latency = float(seconds)
        return {name: server.latency for name, server in self.servers.items()}

    def _post_disturbances(self, request: Request) -> dict[str, float]:
        """Those named, the others none; without a body, what a lively world has."""
        body = _object(request, {spec.name for spec in fields(Disturbances)})
        self._account.webhooks.disturbances = Disturbances.from_json(body) if body else LIVELY
        return asdict(self._account.webhooks.disturbances)

    def _post_connect(self, request: Request) -> dict[str, str]:
        """Events and replies go to the door from now on; answers the keys that verify them."""
        door = _object(request, {"door"}).get("door")
        if not isinstance(door, str):
            raise BadRequestError('"door" is an address')
        return {**asdict(connect(self._account, self._sendgrid_key, door.rstrip("/"))), "domain": REPLY_DOMAIN}

    def _post_inbound_form(self, request: Request) -> dict[str, bool]:
        """Replies are posted raw from now on, or taken apart."""
        raw = _object(request, {"raw"}).get("raw")
        if not isinstance(raw, bool):
            raise BadRequestError('"raw" is true or false')
        change_form(self._account, self._sendgrid_key, raw=raw)
        return {"raw": raw}

    def _get_accepted(self, request: Request) -> dict[str, Any]:
        since, limit = _range(request)
        emails = self._account.accepted[since : since + limit]
        return {"next": since + len(emails), "emails": [_show_email(each) for each in emails]}

    def _get_happened(self, request: Request) -> dict[str, Any]:
        since, limit = _range(request)
        rows = self._world.happened[since : since + limit]
        return {"next": since + len(rows), "happened": [_show_happened(each) for each in rows]}

    def _get_answers(self, request: Request) -> dict[str, Any]:
        """What came back by mail, each with its truth."""
        since, limit = _range(request)
        found = self._world.actions.answers.all[since : since + limit]
        return {"next": since + len(found), "answers": [_show_answer(each) for each in found]}

    def _get_people(self, request: Request) -> dict[str, Any]:
        since, limit = _range(request)
        people = list(self._world.people.values())[since : since + limit]
        rows = [
            {
                "id": person.id,
                "kind": person.kind,
                "address": person.address,
                "traits": sorted(trait.value for trait in person.traits),
                "stops": [
                    {"kind": stop.kind.value, "at": stop.at.isoformat()}
                    for stop in self._world.stops.of(person.address)
                ],
            }
            for person in people
        ]
        return {"next": since + len(rows), "people": rows}


def _object(request: Request, known: set[str]) -> Mapping[str, Any]:
    """The request's JSON object. Raises BadRequestError for anything else, and for keys nobody knows."""
    try:
        body = request.json() if request.body else {}
    except ValueError:
        raise BadRequestError("the body is no JSON") from None
    if not isinstance(body, dict):
        raise BadRequestError("the body is no JSON object")
    if unknown := sorted(body.keys() - known):
        raise BadRequestError(f"unknown: {', '.join(unknown)}; known: {', '.join(sorted(known))}")
    return body


def _range(request: Request) -> tuple[int, int]:
    query = request.query()
    return max(0, int(query.get("since", 0))), min(PAGE, max(0, int(query.get("limit", PAGE))))


def _show_email(email: AcceptedEmail) -> dict[str, Any]:
    return {
        "at": email.at.isoformat(),
        "touch": email.touch,
        "to": email.to,
        "from": email.sender,
        "subject": email.subject,
        "message_id": email.message_id,
        "fate": email.fate.value,
        "reason": email.reason,
    }


def _show_happened(happened: Happened) -> dict[str, Any]:
    return {
        "at": happened.at.isoformat(),
        "deed": happened.deed.value,
        "address": happened.address,
        "record_id": happened.record_id,
    }


def _show_answer(answer: Answer) -> dict[str, Any]:
    return {
        "at": answer.at.isoformat(),
        "truth": answer.truth.value,
        "who": answer.who.value,
        "language": answer.language,
        "shape": list(answer.shape),
        "address": answer.address,
        "sender": answer.sender,
        "message_id": answer.message_id,
        "touch": answer.touch,
        "way": answer.way.value,
        "subject": answer.subject,
        "back": answer.back.isoformat() if answer.back is not None else None,
        "record_id": answer.record_id,
    }


def _show_violation(violation: Violation) -> dict[str, Any]:
    stop = violation.stop
    return {
        "stop": {"kind": stop.kind.value, "at": stop.at.isoformat(), "record_id": stop.record_id},
        "email": _show_email(violation.email),
    }
