"""The oracle: what the stand-ins saw, request by request, held against the promises while it happens.

It stands between the servers and their handlers, knows nothing of the daemon's insides, and orders everything by
moments: requests, accepted emails, and the deeds of people. A stop that could be seen when the last look of an address
was asked for forbids its email (P2); an email without a look of its address within the bound is a violation, too (P4).
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import orjson
from mortality import Mortality
from orgs import Org

from crmdrip.sandbox.courier import Errand
from crmdrip.sandbox.http import Handler, Request, Response
from crmdrip.sandbox.sendgrid import AcceptedEmail
from crmdrip.sandbox.world import SENDING_DOMAIN
from crmdrip.sandbox.world.letters import Who
from crmdrip.sandbox.world.stops import FOR_GOOD, Stop, StopKind, Stops

LOOK_LASTS = timedelta(minutes=2)
"""The bound of P4, as docs/guarantee.md tells it."""

_ADDRESS = re.compile(rb"[\w.+-]+@[\w-]+\.[\w.-]+\w")
_LOOKS = (b"HasOptedOutOfEmail", b"hs_email_optout")
"""A read that names records and asks for these is a look; pulls name none."""

_BY_PULL = frozenset({StopKind.OPPORTUNITY, StopKind.CONVERTED})
"""No look reads these of a person: the pull brings them."""
_BY_FEED = frozenset({StopKind.BOUNCE, StopKind.SPAM_REPORT})
"""The provider's lists tell them."""
_EVENTS = {
    "bounce": StopKind.BOUNCE,
    "spamreport": StopKind.SPAM_REPORT,
    "unsubscribe": StopKind.UNSUBSCRIBE,
    "group_unsubscribe": StopKind.UNSUBSCRIBE,
}
"""What SendGrid's events stop, by their names."""
_OF_RUNS = frozenset({StopKind.REPLY, StopKind.MEETING, StopKind.OPPORTUNITY, StopKind.CONVERTED})
"""They end a run that is under way, and say nothing of one that begins later."""
_LIVE = frozenset({"Queued", "Active", "Held", "Paused"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Sight:
    """The newest look of an address."""

    moment: int
    at: datetime


@dataclass(kw_only=True, slots=True)
class Standing:
    """A stop that is in force."""

    stop: Stop
    moment: int | None
    """From which on a look sees it; None while only a pass can bring it."""
    brought_by: str = ""
    passes: int = 0
    """How many more of these passes it takes."""
    by_door: bool = False
    """Whether nothing but the daemon's ledger tells of it until the record does."""


@dataclass(kw_only=True, slots=True)
class Later:
    """Something that is to happen at a request to come."""

    requests: int
    path: str
    deed: Callable[[], None]


@dataclass(kw_only=True, slots=True)
class Figures:
    """What was seen in all."""

    emails: int = 0
    looks: int = 0
    stops: int = 0
    deaths: int = 0
    posted: Counter[str] = field(default_factory=Counter)
    """Requests that were made at the door, by what was posted and how it went."""
    door: Counter[str] = field(default_factory=Counter)
    """What became of them there, in the door's own words."""


class WatchedStops(Stops):
    """The world's stops, each with the moment at which it could be seen."""

    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self._watch = watch

    def add(self, stop: Stop) -> None:
        """Somebody stopped."""
        super().add(stop)
        self._watch.stopped(stop)

    def add_by_provider(self, stop: Stop) -> None:
        """Somebody stopped, and the provider knows."""
        super().add(stop)
        self._watch.stopped(stop, by_provider=True)

    def lift(self, address: str) -> None:
        """The box was ticked again."""
        super().lift(address)
        self._watch.lifted(address)

    def end_pause(self, address: str) -> None:
        """Paused Until was cleared."""
        super().end_pause(address)
        self._watch.pause_ended(address)


class Watch:
    """One play's oracle."""

    def __init__(self, org: Org, mortality: Mortality) -> None:
        self._org = org
        self._mortality = mortality
        self._sandbox = org.sandbox
        self._lock = threading.RLock()
        self.moment = 0
        self.figures = Figures()
        self.violations: list[str] = []
        self.story: list[str] = []
        """What happened, for whoever has to understand a failure."""
        self.calls: list[tuple[datetime, int]] = []
        """API calls of the CRM, by the time they were made at."""
        self.later: list[Later] = []
        self.no_stops: set[StopKind] = set()
        """Those that the sequences of this play do not end for."""
        self.dispatching = False
        """Whether the daemon is about to send: a pull of HubSpot's asks for some people by id just as a look does."""
        self.wrote: set[str] = set()
        """Records and addresses of whoever wrote something by hand, or had a colleague who did."""
        self.by_door: dict[str, list[str]] = {}
        """Records by the address that unsubscribed at the door, as far as no ledger was lost that alone knew of it."""
        self.lost = False
        """Whether a ledger was lost: then nobody knows any more which emails went out shortly before."""
        self.at_door = False
        """Whether a stop that is added now came in at the door."""
        self._seen: dict[str, Sight] = {}
        self._standing: dict[str, list[Standing]] = {}
        self._touches: set[str] = set()
        self._accepted = 0

    def attach(self) -> None:
        """Stand between the servers and what they serve."""
        sandbox = self._sandbox
        servers = sandbox.control.servers
        for name, server in servers.items():
            server.handler = self._between(name, server.handler)
        sandbox.world.actions.stops = WatchedStops(self)

    def tell(self, text: str) -> None:
        """A line of the story."""
        self.story.append(f"{self._sandbox.clock():%d %H:%M:%S} {self.moment:5} {text}")

    # the wire

    def _between(self, name: str, handler: Handler) -> Handler:
        mail = name == "sendgrid"

        def handle(request: Request) -> Response:
            arrived = self._sandbox.clock()
            self._happen(request)
            self.moment += 1
            asked = Sight(moment=self.moment, at=self._sandbox.clock())
            if self._mortality.strike(f"request {name} {_short(request)}"):
                return Response(cut=True)
            before = 0 if mail else self._org.calls()
            response = handler(request)
            if mail:
                self._check_accepted(arrived)
            else:
                self.calls.append((asked.at, self._org.calls() - before))
                if not response.cut and response.status < 300:
                    self._note_look(request, response, asked)
            if self._mortality.strike(f"answer {name} {_short(request)}"):
                return Response(cut=True)
            return response

        return handle

    def _happen(self, request: Request) -> None:
        for one in [each for each in self.later if each.path in request.path]:
            one.requests -= 1
            if one.requests < 0:
                self.later.remove(one)
                one.deed()

    def _note_look(self, request: Request, response: Response, asked: Sight) -> None:
        if not self.dispatching or request.method != "POST" or not any(word in request.body for word in _LOOKS):
            return
        if b'"ids"' not in request.body and b'"inputs"' not in request.body:
            return
        self.figures.looks += 1
        for address in set(_ADDRESS.findall(response.body)):
            self._seen[address.decode().lower()] = asked

    def _check_accepted(self, arrived: datetime) -> None:
        accepted = self._sandbox.account.accepted
        for email in accepted[self._accepted :]:
            self._check(email, arrived)
        self._accepted = len(accepted)

    def _check(self, email: AcceptedEmail, at: datetime) -> None:
        address = email.to.lower()
        self.figures.emails += 1
        self.tell(f"    accepted {address} {email.touch[:8]}")
        to_rep = address.endswith(f"@{SENDING_DOMAIN}")
        # Of an answer that is posted again after the ledger was lost, nobody knows that it was sent on before.
        if email.touch in self._touches and not (to_rep and self.lost):
            self._violated(f"P1: {address} was sent touch {email.touch} twice")
        self._touches.add(email.touch)
        if to_rep:
            return  # an answer that is sent on to its rep
        sight = self._seen.get(address)
        if sight is None:
            self._violated(f"P4: {address} was mailed without a look")
            return
        if at - sight.at > LOOK_LASTS:
            self._violated(f"P4: {address} was mailed {at - sight.at} after its look")
        for one in self._standing.get(address, ()):
            if one.moment is not None and one.moment < sight.moment and one.stop.forbids(email):
                kind = one.stop.kind.value
                self._violated(f"P2: {address} was mailed by look {sight.moment}, stopped at {one.moment} by {kind}")

    def _violated(self, text: str) -> None:
        self.tell(f"VIOLATION {text}")
        for row in self._sandbox.world.actions.records_at(text.split(": ", 1)[1].split(" ", 1)[0]):
            self.tell(f"    by then: {self._org.show(row['Id'])}")
        self.violations.append(text)

    # stops

    def heard(self, errand: Errand) -> None:
        """The door has answered with 2xx: what the request says can be seen from now on."""
        if not errand.url.endswith("/events"):
            return
        self.moment += 1
        for event in orjson.loads(errand.body):
            kind = _EVENTS.get(event["event"])
            if kind is None or (kind is StopKind.BOUNCE and event.get("type") == "blocked"):
                continue
            for one in self._standing.get(event["email"].lower(), ()):
                if one.stop.kind is kind and one.moment is None and one.brought_by == "feed":
                    one.moment = self.moment
                    self.tell(f"      {event['email']}: {kind.value} stands at the door")

    def ledger_lost(self) -> None:
        """What had come in at the door, and stands on no record yet, is known to nobody any more."""
        self.lost = True
        for address, some in self._standing.items():
            shown = [self._org.show(row["Id"]) for row in self._sandbox.world.actions.records_at(address)]
            told = all(one.status not in _LIVE and not one.enrolled for one in shown)
            refused = all(one.opted_out for one in shown)
            lost = [one for one in some if one.by_door and not (refused if one.stop.kind in FOR_GOOD else told)]
            if lost:
                self.tell(f"      {address}: what came in at the door is forgotten")
                self.by_door.pop(address, None)
                some[:] = [one for one in some if one not in lost]

    def stopped(self, stop: Stop, *, by_provider: bool = False) -> None:
        """Somebody stopped an address."""
        self.moment += 1
        if stop.kind in self.no_stops or (stop.kind is StopKind.PAUSED and self._on_another_record(stop)):
            return
        if self.at_door and self.lost and self._needs_touch(stop):
            self.tell(f"      {stop.address}: {stop.kind.value}, and it may be that nobody knows the email it is about")
            return
        if stop.kind in _OF_RUNS and not self._under_way(stop.address):
            self.tell(f"      {stop.address}: {stop.kind.value}, and no run is under way")
            return
        self.figures.stops += 1
        standing = Standing(stop=stop, moment=self.moment, by_door=self.at_door)
        if self.at_door and stop.kind is StopKind.UNSUBSCRIBE:
            found = self._sandbox.world.actions.records_at(stop.address)
            self.by_door[stop.address] = [row["Id"] for row in found]
        if by_provider or (stop.kind in _BY_FEED and not self.at_door):
            standing = Standing(stop=stop, moment=None, brought_by="feed", passes=1)
        elif stop.kind in _BY_PULL or (stop.kind is StopKind.OPT_OUT and self._on_another_record(stop)):
            standing = Standing(stop=stop, moment=None, brought_by="pull", passes=2)  # streams come by turns
        self._standing.setdefault(stop.address, []).append(standing)
        self.tell(f"      {stop.address} stopped: {stop.kind.value}")

    def _needs_touch(self, stop: Stop) -> bool:
        """Whether it can be found to its person by the email it is about alone (docs/guarantee.md)."""
        if stop.kind is StopKind.BOUNCE:
            return True
        answers = [one for one in self._sandbox.world.actions.answers.all if one.address.lower() == stop.address]
        return stop.kind is StopKind.REPLY and any(one.who is Who.ALIAS for one in answers)

    def _under_way(self, address: str) -> bool:
        found = self._sandbox.world.actions.records_at(address)
        return any(self._org.show(row["Id"]).status in _LIVE for row in found)

    def _on_another_record(self, stop: Stop) -> bool:
        found = self._sandbox.world.actions.records_at(stop.address)
        return any(row["Drip_Enrolled__c"] for row in found if row["Id"] != stop.record_id)

    def lifted(self, address: str) -> None:
        """The box was ticked again."""
        self._keep(address, lambda one: one.stop.kind in FOR_GOOD)
        self.tell(f"      {address} may be mailed again")

    def pause_ended(self, address: str) -> None:
        """Paused Until was cleared."""
        self._keep(address, lambda one: one.stop.kind is not StopKind.PAUSED)

    def _keep(self, address: str, wanted: Callable[[Standing], bool]) -> None:
        address = address.lower()
        self._standing[address] = [one for one in self._standing.get(address, ()) if wanted(one)]

    def waiting_for(self, name: str) -> list[Standing]:
        """Stops that a pass of that name would bring if it began now."""
        shown = self._sandbox.clock() - timedelta(seconds=2 * self._org.lag)
        return [
            one
            for some in self._standing.values()
            for one in some
            if one.moment is None and one.brought_by == name and one.stop.at <= shown
        ]

    def brought(self, some: list[Standing]) -> None:
        """A pass that began after these stops has come to its end."""
        self.moment += 1
        for one in some:
            one.passes -= 1
            if one.passes <= 0:
                one.moment = self.moment

    # P5

    def check_budget(self, cap: int) -> None:
        """No 24 hours had more calls than the cap."""
        day, start, total = timedelta(hours=24), 0, 0
        for at, number in self.calls:
            total += number
            while self.calls[start][0] <= at - day:
                total -= self.calls[start][1]
                start += 1
            if total > cap:
                self._violated(f"P5: {total} calls in the 24 hours to {at}, {cap} are allowed")
                return


def _short(request: Request) -> str:
    path = re.sub(r"/(?=[0-9a-zA-Z]*\d)[0-9a-zA-Z]{6,}", "/*", request.path)
    return f"{request.method} {path}"
