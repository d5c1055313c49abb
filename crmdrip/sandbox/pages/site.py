"""The pages' addresses, and what happens when somebody presses a button.

Server-rendered, without scripts; everything that comes from data is escaped by Jinja2. Only for people on this
machine: a request made for another host, or a form sent from another site, is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from importlib import resources
from random import Random
from typing import Any
from urllib.parse import quote as quote_url
from urllib.parse import urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined

from crmdrip.sandbox.clock import SandboxClock
from crmdrip.sandbox.http import Request, Response, html_response, redirect
from crmdrip.sandbox.pages import people, showing
from crmdrip.sandbox.pages.kinds import ANSWERS
from crmdrip.sandbox.pages.sequences import SequencePages
from crmdrip.sandbox.salesforce import SalesforceOrg
from crmdrip.sandbox.salesforce.refusals import Refusal
from crmdrip.sandbox.sendgrid import AcceptedEmail, SendGridAccount
from crmdrip.sandbox.world import LANGUAGES, ClickWay, World
from crmdrip.sandbox.world.letters import Occasion
from crmdrip.sandbox.world.reading import count_statuses, is_installed, kind_of, people_at, person

PAGE = 50
"""Emails on one page of the outbox."""

POLICY = (
    "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; form-action 'self';"
    " frame-src 'self'; frame-ancestors 'self'; base-uri 'none'"
)
"""No scripts from anywhere. Inline styles are for the emails, which carry their own."""

_HOSTS = frozenset({"127.0.0.1", "localhost"})
_STATIC = {".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}

Form = Mapping[str, str]


class NotFoundError(Exception):
    """There is no such page."""


class Pages:
    """The handler of the pages' server."""

    def __init__(self, org: SalesforceOrg, account: SendGridAccount, world: World, clock: SandboxClock) -> None:
        self._org = org
        self._begin(account, world, clock)
        self._sequence_pages = SequencePages(org, self._page)
        self._routes[:0] = self._sequence_pages.routes

    def _begin(self, account: SendGridAccount, world: World, clock: SandboxClock) -> None:
        """What is the same for every CRM."""
        self._account = account
        self._world = world
        self._clock = clock
        self._by_touch: dict[str, int] = {}
        self._indexed = 0
        self._templates = Environment(
            loader=PackageLoader("crmdrip.sandbox.pages"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters.update(
            moment=showing.moment, brief=showing.brief, initials=showing.initials, hue=showing.hue
        )
        self._templates.globals.update(
            tones=showing.STATUS_TONES,
            fate_tones=showing.FATE_TONES,
            truth_tones=showing.TRUTH_TONES,
            everybody="leads and contacts",
        )
        self._routes: list[tuple[str, re.Pattern[str], Callable[..., Response]]] = [
            ("GET", re.compile(r"/"), self._home),
            ("POST", re.compile(r"/brake"), self._brake),
            ("GET", re.compile(r"/people"), self._people),
            ("GET", re.compile(r"/people/(\w+)"), self._person),
            ("POST", re.compile(r"/people/(\w+)/(\w+)"), self._act),
            ("GET", re.compile(r"/outbox"), self._outbox),
            ("GET", re.compile(r"/outbox/(\d+)"), self._email),
            ("GET", re.compile(r"/sequences"), self._sequences),
            ("GET", re.compile(r"/sequences/([\w-]+)"), self._sequence),
            ("GET", re.compile(r"/static/([\w.-]+)"), self._static),
        ]
        self._deeds: dict[str, Callable[[str, Form], str | None]] = {
            "tick": self._tick,
            "untick": lambda record, _: world.actions.untick(record),
            "pause": self._pause,
            "approve": lambda record, _: world.actions.approve(record),
            "reply": self._reply,
            "answer": self._answer,
            "meeting": lambda record, _: _nothing(world.actions.book_meeting(record)),
            "opt_out": lambda record, _: world.actions.opt_out(record),
            "unsubscribe": lambda record, _: world.actions.unsubscribe(self._reached(record)),
            "unsubscribe_page": lambda record, _: world.actions.unsubscribe(self._reached(record), ClickWay.PAGE),
            "bounce": lambda record, _: world.actions.bounce(self._address(record)),
            "spam": lambda record, _: world.actions.report_spam(self._address(record)),
            "opportunity": lambda record, _: _nothing(world.actions.open_opportunity(record)),
            "owner": lambda record, form: world.actions.change_owner(record, form.get("owner", "")),
            "address": lambda record, form: world.actions.change_address(record, form.get("address", "")),
            "convert": lambda record, form: world.actions.convert(record, with_opportunity="opportunity" in form),
            "merge": lambda record, form: world.actions.merge(record, form.get("loser", "")),
            "delete": lambda record, _: world.actions.delete(record),
            "undelete": lambda record, _: world.actions.undelete(record),
        }

    def handle(self, request: Request) -> Response:
        """Answer one request."""
        if not is_local(request):
            return html_response("<p>Only for people on this machine.</p>", status=403)
        found = False
        for method, pattern, function in self._routes:
            match = pattern.fullmatch(request.path)
            if match is None:
                continue
            found = True
            if method == request.method or (method == "GET" and request.method == "HEAD"):
                try:
                    return function(request, *match.groups())
                except (NotFoundError, LookupError) as error:
                    return self._page("missing.html", code=404, text=str(error))
                except Refusal:
                    # The org does not take it for an id.
                    return self._page("missing.html", code=404, text="There is no such record.")
        return self._page("missing.html", code=405 if found else 404, text="There is no such page.")

    # pages

    def _home(self, _: Request) -> Response:
        accepted = self._account.accepted
        return self._page(
            "home.html",
            tab="home",
            people=len(self._world.people),
            accepted=len(accepted),
            duplicates=len(self._account.duplicates()),
            violations=len(self._world.violations()),
            statuses=count_statuses(self._org),
            stops=self._world.stops.counts(),
            happened=[h for h in reversed(self._world.happened[-400:]) if h.deed.value != "tick"][:12],
            newest=[(number, accepted[number]) for number in range(len(accepted) - 1, max(-1, len(accepted) - 13), -1)],
            calls=self._org.api_calls,
            control=people.control(self._org),
        )

    def _people(self, request: Request) -> Response:
        query = request.query()
        text, status = query.get("q", "").strip()[:100], query.get("status", "")
        number = query.get("page", "1")
        found = people.list_people(
            self._org,
            text=text,
            status=status if status in people.FILTERS else "",
            number=int(number) if number.isdigit() else 1,
        )
        back = f"/people?q={quote_url(text)}&status={quote_url(status)}&page={found.number}"
        return self._page(
            "people.html",
            tab="people",
            found=found,
            text=text,
            status=status,
            filters=people.FILTERS,
            back=back,
            default_sequence=next(iter(self._world.sequences.values())),
        )

    def _person(self, request: Request, record_id: str) -> Response:
        row = person(self._org, record_id)
        owner = people.user(self._org, row["OwnerId"])
        gone = row["IsDeleted"] or row.get("IsConverted")
        return self._page(
            "person.html",
            tab="people",
            row=row,
            kind=kind_of(record_id),
            owner=owner,
            zone=owner["TimeZoneSidKey"] if owner else "UTC",
            gone=gone,
            activities=people.timeline(self._org, record_id),
            emails=self._emails_by_touch(),
            sequences=people.sequences(self._org),
            reps=people.active_users(self._org),
            others=[] if gone else people.others_like(self._org, row),
            stops=self._world.stops.of(row["Email"] or ""),
            kinds=ANSWERS,
            languages=LANGUAGES,
            problem=request.query().get("problem", ""),
            said=request.query().get("said", ""),
        )

    def _outbox(self, request: Request) -> Response:
        query = request.query()
        text = query.get("q", "").strip()[:100]
        chosen = [
            number
            for number in range(len(self._account.accepted) - 1, -1, -1)
            if not text or text.lower() in self._account.accepted[number].to.lower()
        ]
        pages = max(1, -(-len(chosen) // PAGE))
        asked = query.get("page", "1")
        page = min(max(1, int(asked) if asked.isdigit() else 1), pages)
        numbers = chosen[(page - 1) * PAGE : page * PAGE]
        return self._page(
            "outbox.html",
            tab="outbox",
            emails=[(number, self._account.accepted[number]) for number in numbers],
            answers=self._world.actions.answers,
            total=len(chosen),
            text=text,
            page=page,
            pages=pages,
        )

    def _email(self, _: Request, number_text: str) -> Response:
        number = int(number_text)
        if number >= len(self._account.accepted):
            raise NotFoundError(f"there is no email {number}")
        email = self._account.accepted[number]
        return self._page(
            "email.html",
            tab="outbox",
            number=number,
            email=email,
            records=people_at(self._org, email.to),
            answers=self._world.actions.answers.of(email.touch),
            last=len(self._account.accepted) - 1,
        )

    def _sequences(self, _: Request) -> Response:
        return self._page(
            "sequences.html", tab="sequences", sequences=people.sequences(self._org), editable=is_installed(self._org)
        )

    def _sequence(self, request: Request, sequence_id: str) -> Response:
        return self._sequence_pages.show(request, sequence_id)

    def _static(self, _: Request, name: str) -> Response:
        kind = _STATIC.get("." + name.rpartition(".")[2])
        file = resources.files(__package__).joinpath("static", name)
        if kind is None or not file.is_file():
            raise NotFoundError("there is no such file")
        return Response(body=file.read_bytes(), content_type=kind, headers={"Cache-Control": "max-age=300"})

    def _page(self, template: str, *, code: int = 200, **values: Any) -> Response:
        values.setdefault("tab", "")
        text = self._templates.get_template(template).render(now=self._clock(), speed=self._clock.speed, **values)
        response = html_response(text, code)
        response.headers = {
            "Content-Security-Policy": POLICY,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "same-origin",
            "Cache-Control": "no-store",
        }
        return response

    # buttons

    def _act(self, request: Request, record_id: str, deed: str) -> Response:
        act = self._deeds.get(deed)
        if act is None:
            raise NotFoundError(f"nobody can {deed}")
        self._check_id(record_id)
        form = request.form()
        back = form.get("back", "") if form.get("back", "").startswith("/people?") else ""
        target = back or f"/people/{record_id}"
        try:
            next_record = act(record_id, form)
        except Refusal as refusal:
            return redirect(f"/people/{record_id}?problem={quote_url(refusal.message[:300])}")
        except LookupError as error:
            return redirect(f"/people/{record_id}?problem={quote_url(str(error)[:300])}")
        if next_record is not None:
            target = f"/people/{next_record}"
        mark = "&" if "?" in target else "?"
        return redirect(target if back else f"{target}{mark}said={quote_url(_SAID.get(deed, 'Done.'))}")

    def _check_id(self, record_id: str) -> None:
        """Raise LookupError for an id that is nobody's."""
        kind_of(record_id)

    def _brake(self, request: Request) -> Response:
        control = people.control(self._org)
        if control is None:
            raise NotFoundError("There is no control record: an admin deleted it.")
        self._org.update(control["Id"], {"Drip_Brake__c": request.form().get("brake") == "pulled"})
        return redirect("/")

    def _tick(self, record_id: str, form: Form) -> None:
        self._world.actions.tick(record_id, form.get("sequence") or None)

    def _pause(self, record_id: str, form: Form) -> None:
        days = form.get("days", "")
        until = self._clock() + timedelta(days=int(days)) if days.isdigit() and 0 < int(days) <= 365 else None
        self._world.actions.pause(record_id, until)

    def _reply(self, record_id: str, form: Form) -> None:
        address, text = self._address(record_id), form.get("text") or "Thanks, let us talk."
        email = self._newest(address)
        if email is None:
            self._world.actions.reply(address, text)
        else:
            self._world.actions.answer_with(text, self._occasion(record_id, email, form), self._random())

    def _answer(self, record_id: str, form: Form) -> None:
        kind = ANSWERS.get(form.get("kind", ""))
        if kind is None:
            raise LookupError("nobody answers like that")
        email = self._newest(self._address(record_id))
        if email is None:
            raise LookupError("no email has reached this person, so nothing can come back")
        occasion = self._occasion(record_id, email, form)
        if kind.truth is None:
            self._world.actions.unsubscribe_by_mail(occasion, self._random())
        else:
            self._world.actions.answer(kind.truth, occasion, self._random(), kind.who)

    def _occasion(self, record_id: str, email: AcceptedEmail, form: Form) -> Occasion:
        occasion = self._world.occasion(email, dict(self._world.actions.record(record_id)), self._random())
        language = form.get("language", "")
        return replace(occasion, language=language) if language in LANGUAGES else occasion

    def _random(self) -> Random:
        """Another one for each answer, the same for the same play."""
        return Random(f"pages|{len(self._world.actions.answers.all)}")

    def _reached(self, record_id: str) -> AcceptedEmail:
        """The newest email, which must have an unsubscribe link."""
        email = self._newest(self._address(record_id))
        if email is None or not email.unsubscribe_url:
            raise LookupError("no email with an unsubscribe link has reached this person")
        return email

    def _address(self, record_id: str) -> str:
        address = self._world.actions.record(record_id)["Email"]
        if not address:
            raise LookupError("this person has no email address")
        return str(address)

    def _newest(self, address: str) -> AcceptedEmail | None:
        received = self._account.to(address)
        return received[-1] if received else None

    def _emails_by_touch(self) -> Mapping[str, int]:
        """The number in the outbox of every touch that went out."""
        accepted = self._account.accepted
        for number in range(self._indexed, len(accepted)):
            self._by_touch[accepted[number].touch] = number
        self._indexed = len(accepted)
        return self._by_touch


_SAID = {
    "tick": "The box is ticked.",
    "untick": "The box is unticked.",
    "pause": "Paused Until is set.",
    "approve": "The next step is approved.",
    "reply": "The reply is on its way.",
    "answer": "It is on its way.",
    "meeting": "The meeting is in the calendar.",
    "opt_out": "Email Opt Out is ticked.",
    "unsubscribe": "Unsubscribe was pressed.",
    "unsubscribe_page": "The button on the unsubscribe page was pressed.",
    "bounce": "The newest email bounced.",
    "spam": "The newest email was reported as spam.",
    "opportunity": "The opportunity is open.",
    "owner": "The record has another owner.",
    "address": "The address is changed.",
    "convert": "The lead is converted; this is the contact.",
    "merge": "The records are merged.",
    "delete": "The record is in the recycle bin.",
    "undelete": "The record is back.",
}


def _nothing(_: object) -> None:
    """For deeds whose result nobody needs."""


def is_local(request: Request) -> bool:
    """Whether a browser on this machine asks of its own accord: no other host's name, no other site's form."""
    host = request.headers.get("host", "").rpartition(":")[0] or request.headers.get("host", "")
    if host not in _HOSTS:
        return False
    origin = request.headers.get("origin", "")
    return request.method != "POST" or not origin or urlsplit(origin).netloc == request.headers.get("host", "")
