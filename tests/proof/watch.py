"""The oracle: what the stand-ins saw, request by request, held against the promises while it happens.

It stands between the servers and their handlers, knows nothing of the daemon's insides, and orders everything by
moments: requests, accepted emails, and the deeds of people. A stop that could be seen when the last look of an address
was asked for forbids its email (P2); an email without a look of its address within the bound is a violation, too (P4).
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from mortality import Mortality
from orgs import Org

from crmdrip.sandbox.http import Handler, Request, Response
from crmdrip.sandbox.sendgrid import AcceptedEmail
from crmdrip.sandbox.world.stops import FOR_GOOD, Stop, StopKind, Stops

LOOK_LASTS = timedelta(minutes=2)
"""The bound of P4, as docs/guarantee.md tells it."""

_ADDRESS = re.compile(rb"[\w.+-]+@[\w-]+\.[\w.-]+\w")
_PARTS = re.compile(rb'"referenceId"\s*:\s*"(\w+)"')
PROCESS = "x-proof-process"
"""The header by which a process that may be killed says its number."""
_LOOKS = (b"HasOptedOutOfEmail", b"hs_email_optout")
"""A read that names records and asks for these is a look; pulls name none."""

_BY_PULL = frozenset({StopKind.OPPORTUNITY, StopKind.CONVERTED})
"""No look reads these of a person: the pull brings them."""
_BY_FEED = frozenset({StopKind.BOUNCE, StopKind.SPAM_REPORT})
"""The provider's lists tell them."""
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


class WatchedStops(Stops):
    """The world's stops, each with the moment at which it could be seen."""

    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self._watch = watch

    def add(self, stop: Stop) -> None:
        """Somebody stopped."""
        super().add(stop)
        self._watch.stopped(stop)

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
            what, process = f"{name} {_short(request)}", request.headers.get(PROCESS, "")
            if self._mortality.strike(f"request {what}", process):
                return Response(cut=True)
            before = 0 if mail else self._org.calls()
            response = handler(request)
            if mail:
                self._check_accepted(arrived)
            else:
                self.calls.append((asked.at, self._org.calls() - before))
                if not response.cut and response.status < 300:
                    self._note_look(request, response, asked)
            if self._mortality.strike(f"answer {what}", process):
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
        if email.touch in self._touches:
            self._violated(f"P1: {address} was sent touch {email.touch} twice")
        self._touches.add(email.touch)
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

    def stopped(self, stop: Stop) -> None:
        """Somebody stopped an address."""
        self.moment += 1
        if stop.kind in self.no_stops or (stop.kind is StopKind.PAUSED and self._on_another_record(stop)):
            return
        if stop.kind in _OF_RUNS and not self._under_way(stop.address):
            self.tell(f"      {stop.address}: {stop.kind.value}, and no run is under way")
            return
        self.figures.stops += 1
        standing = Standing(stop=stop, moment=self.moment)
        if stop.kind in _BY_FEED:
            standing = Standing(stop=stop, moment=None, brought_by="feed", passes=1)
        elif stop.kind in _BY_PULL or (stop.kind is StopKind.OPT_OUT and self._on_another_record(stop)):
            standing = Standing(stop=stop, moment=None, brought_by="pull", passes=2)  # streams come by turns
        self._standing.setdefault(stop.address, []).append(standing)
        self.tell(f"      {stop.address} stopped: {stop.kind.value}")

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
    """What it is for, without ids: the parts of a composite one are named as its sender names them."""
    path = re.sub(r"/(?=[0-9a-zA-Z]*\d)[0-9a-zA-Z]{6,}", "/*", request.path)
    names = (part.decode() for part in _PARTS.findall(request.body) if path.endswith("/composite"))
    return " ".join([request.method, path, *dict.fromkeys(re.sub(r"_\d+$", "", name) for name in names)])
