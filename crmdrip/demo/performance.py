"""One demo from curtain to curtain: sandbox, ledger, door and daemon set up, two weeks played, the promises audited."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from crmdrip.assembly import assemble, connect_crm
from crmdrip.config import Settings
from crmdrip.core.errors import ConfigurationError
from crmdrip.daemon.clock import HandClock
from crmdrip.daemon.garbage import collect_rarely
from crmdrip.daemon.parts import Parts
from crmdrip.demo.audit import Findings, audit
from crmdrip.demo.config import write_settings
from crmdrip.demo.crm import DemoCrm
from crmdrip.demo.folder import demo_folder
from crmdrip.demo.latency import Arrivals, Latency
from crmdrip.demo.play import Play, Watch
from crmdrip.demo.salesforce import DemoSalesforce
from crmdrip.demo.stage import Stage, open_stage
from crmdrip.inspection.rehearsal import hurry
from crmdrip.ports import OffersInstallation
from crmdrip.web.door import Door, build_app, listen
from crmdrip.web.health import Health
from crmdrip.web.hooks import Hooks
from crmdrip.web.pages import Pages
from crmdrip.web.unsubscribe import Unsubscribes

BEGIN = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)
"""A Monday, always the same one, so that a seed gives the same fortnight; American clocks change in the midst of it."""
TICKED = 0.5
"""The share of boxes that reps tick in the first three days."""
PER_SECOND = timedelta(minutes=1)
"""Sandbox time per real second while the pages are open."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Script:
    """What to play."""

    crm: DemoCrm = field(default_factory=DemoSalesforce)
    people: int = 2_000
    days: int = 14
    seed: int = 1
    trouble: bool = False
    """Both vendors fail in every way they know."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Show:
    """What stands when the play is over."""

    findings: Findings
    pages: str
    """The address of the pages."""
    example: str
    """The record of somebody whom an answer stopped; "" when there is nobody."""
    go_on: Callable[[], None]
    """Lets a second pass, a minute on the sandbox's clock, in which the daemon works on."""


@contextmanager
def perform(script: Script, watch: Watch) -> Iterator[Show]:
    """Play a script; inside the context everything still stands. Raises CrmdripError when the stage cannot be set."""
    began = time.monotonic()
    with (
        demo_folder() as folder,
        open_stage(folder, options=_options(script.crm), people=script.people, seed=script.seed, now=BEGIN) as stage,
        Door(listen(("127.0.0.1", 0))) as door,
    ):
        clock = HandClock(BEGIN)
        settings = write_settings(
            folder,
            crm=script.crm.configure(stage, folder),
            sendgrid=stage.sendgrid,
            port=door.port,
            wires=stage.connect(f"http://127.0.0.1:{door.port}"),
        )
        installed = install(settings, clock)
        script.crm.furnish(stage)
        calls = stage.crm_calls()
        with assemble(settings, clock, exclusive=True) as parts:
            hurry(parts.ledger)
            latency = Latency(parts, door.after)
            open_door(door, parts, settings, latency)
            collect_rarely()
            play = Play(parts, stage, clock, script.crm, settle=door.settle, seed=script.seed)
            stage.disturb()
            stage.tick_boxes(TICKED)
            play.run(BEGIN + timedelta(days=script.days), watch, with_trouble=script.trouble)
            play.drain(watch)
            findings = audit(
                script.crm,
                stage,
                parts.ledger,
                now=clock.now(),
                seconds=time.monotonic() - began,
                latency=latency.told(),
                installed=installed,
                calls=stage.crm_calls() - calls,
            )
            yield Show(
                findings=findings,
                pages=stage.pages,
                example=find_example(script.crm, stage),
                go_on=lambda: _go_on(play, clock),
            )


def find_example(crm: DemoCrm, stage: Stage) -> str:
    """The record of somebody whom an answer stopped after as many emails as possible, "" when there is nobody.

    Nothing else happened to them, so that the page tells one story.
    """
    deeds: dict[str, set[str]] = {}
    for one in stage.happened():
        deeds.setdefault(one.record_id, set()).add(one.deed)
    answered = [record_id for record_id, done in deeds.items() if done == {"tick", "reply"}]
    stopped = [one for one in crm.read_people(stage.crm, answered) if one.status == "Stopped"]
    found = max(stopped, key=lambda one: (one.step, one.id), default=None)
    return found.id if found is not None else ""


def install(settings: Settings, clock: HandClock) -> int:
    """Install in the CRM what is shipped, as crmdrip install does; how much was made. Raises CrmdripError."""
    crm = connect_crm(settings, clock)
    if not isinstance(crm.connector, OffersInstallation):
        raise ConfigurationError(f"the connector {crm.connector.name!r} installs nothing.", where="the demo")
    installer = crm.connector.build_installer(crm.context)
    return len(installer.install(installer.preview(), lambda _: None))


def _options(crm: DemoCrm) -> tuple[str, ...]:
    return ("--crm", crm.name, "--bare", *crm.options)


def open_door(door: Door, parts: Parts, settings: Settings, latency: Latency) -> None:
    """Serve the door as the daemon does; the demo is its own supervisor, so its health is always good."""
    keys = tuple(key.get_secret_value() for key in settings.unsubscribe.keys)
    hooks = Hooks(parts, on_stored=latency.stored, on_hint=lambda: None)
    app = build_app(
        watch=lambda: Health(alive=True, ready=True),
        unsubscribes=Unsubscribes(parts, keys),
        pages=Pages(settings.sender.company, settings.sender.postal_address, settings.sender.language),
        base_url=settings.unsubscribe.base_url,
        after=door.after,
        hooks=hooks.routes(settings.web.prefix),
    )
    app.add_middleware(Arrivals, latency=latency)
    door.serve(app)


def _go_on(play: Play, clock: HandClock) -> None:
    time.sleep(1)
    play.step(clock.now() + PER_SECOND)
