"""crmdrip demo."""

from __future__ import annotations

import signal
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from crmdrip import logs
from crmdrip.commands.output import aside, print_json
from crmdrip.demo.audit import Findings
from crmdrip.demo.crm import DemoCrm
from crmdrip.demo.hubspot import Definitions, DemoHubSpot
from crmdrip.demo.performance import BEGIN, Script, Show, perform
from crmdrip.demo.play import Progress as PlayProgress
from crmdrip.demo.salesforce import DemoSalesforce

WIDTH = 100
"""Columns of the report."""
_TITLES = {"salesforce": "Salesforce", "hubspot": "HubSpot"}


@click.command()
@click.option(
    "--crm", type=click.Choice(["salesforce", "hubspot"]), default="salesforce", show_default=True, help="Which one."
)
@click.option(
    "--definitions",
    type=click.Choice([each.value for each in Definitions]),
    default=Definitions.TOML.value,
    show_default=True,
    help="HubSpot: where sequences stand, in files or (Enterprise) in custom objects.",
)
@click.option("--people", type=click.IntRange(min=10), default=2_000, show_default=True, help="Contacts and leads.")
@click.option("--days", type=click.IntRange(min=1, max=90), default=14, show_default=True, help="Days to play.")
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed gives the same fortnight.")
@click.option("--faults", is_flag=True, help="Let both vendors fail in every way they know.")
@click.option("--serve/--no-serve", default=True, help="Keep the pages open afterwards.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def demo(
    *,
    crm: str,
    definitions: str,
    people: int,
    days: int,
    seed: int,
    faults: bool,
    serve: bool,
    as_json: bool,
) -> int:
    """Play two weeks against stand-ins on this machine, and check the promises.

    Exit code 0 only if the promises held.
    """
    chosen: DemoCrm = DemoHubSpot(Definitions(definitions)) if crm == "hubspot" else DemoSalesforce()
    logs.configure(format="console", level="error")
    for number in (signal.SIGTERM, signal.SIGHUP):
        # As Ctrl-C does: whatever ends the demo ends its sandbox too.
        signal.signal(number, signal.default_int_handler)
    script = Script(crm=chosen, people=people, days=days, seed=seed, trouble=faults)
    out = aside()
    out.print(
        f"A {_TITLES[chosen.name]} {chosen.place} with {people} people, a SendGrid account, and {days} days on a fast"
        " clock."
    )
    with showing(days) as watch, perform(script, watch) as show:
        watch(None)
        findings = show.findings
        if as_json:
            print_json(findings.to_json())
        out.print(report(findings, days, chosen), markup=False)
        if serve:
            out.print(invite(show, chosen), markup=False)
            try:
                while True:
                    show.go_on()
            except KeyboardInterrupt:
                out.print("Ended.")
    return 0 if findings.kept else 1


@contextmanager
def showing(days: int) -> Iterator[Callable[[PlayProgress | None], None]]:
    """A progress display on standard error; a line per day where that is no terminal. Given None, it ends."""
    out = aside()
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=32),
        TextColumn("{task.fields[story]}"),
        TimeElapsedColumn(),
        console=out,
        disable=not out.is_terminal,
    )
    task = progress.add_task("The CRM fills", total=days, story="")
    told = 0

    def watch(state: PlayProgress | None) -> None:
        nonlocal told
        if state is None:
            progress.stop()
            return
        passed = (state.now - BEGIN).total_seconds() / 86_400
        day = min(int(passed), days)
        progress.update(task, completed=min(passed, days), description=f"{state.now:%a %d %b}", story=tell(state))
        if not out.is_terminal and day > told:
            told = day
            out.print(f"{state.now:%a %d %b}  {tell(state)}", markup=False)

    progress.start()
    try:
        yield watch
    finally:
        progress.stop()


_LEFT = ("opt_out", "unsubscribe", "unsubscribe_page", "unsubscribe_mail", "remove_me", "spam_report")
"""What people do who want no more email."""


def tell(state: PlayProgress) -> str:
    """The play so far in a few words."""
    deeds = state.deeds
    left = sum(deeds[name] for name in _LEFT)
    return (
        f"{state.emails} emails, {deeds['reply']} replies, {deeds['meeting']} meetings, {left} opt-outs,"
        f" {state.stopped} stopped"
    )


def invite(show: Show, crm: DemoCrm) -> str:
    """Where to look now, and at what."""
    person = f"{show.pages}/people/{show.example}" if show.example else f"{show.pages}/people?status=stopped"
    return (
        f"\nThe {crm.place} as a rep sees it: {show.pages}\n"
        f"  Somebody who answered:     {person}\n"
        f"  Who waits, and for what:   {show.pages}/people?status=held\n"
        f"  Every email as received:   {show.pages}/outbox\n"
        "\nTick a box, reply, unsubscribe, pull the brake: the daemon works on, a minute a second.\nCtrl-C ends."
    )


def report(findings: Findings, days: int, crm: DemoCrm) -> str:
    """The result for a person."""
    f = findings
    stops = ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in f.stops.items()) or "none"
    lines = (
        f"crmdrip install found a bare {crm.place}, and made {f.installed} things in it first.",
        f"{f.ticked} boxes ticked: {f.enrolled} enrolled, {f.refused} refused with the reason on the record.",
        (
            f"{f.touches_accepted} emails accepted. Sent twice: {f.duplicate_touches}."
            f" Sent after a stop: {f.touches_after_stop}."
        ),
        f"Runs stopped: {stops}.",
        (
            f"Mails that came back: {f.replies} by people, {f.auto_replies} by machines. Unheard: {f.replies_unheard}."
            f" Replies taken for a machine's: {f.reply_taken_for_auto_reply}."
            f" Machines' taken for a reply: {f.auto_reply_taken_for_reply}."
            f" Opt-outs nobody asked for: {f.opt_outs_unasked}."
        ),
        (
            f"From an answer at the door to the end of its run: {f.stop_latency_seconds['median']} s,"
            f" {f.stop_latency_seconds['max']} s at most."
        ),
        f"Records without an explanation: {f.unexplained_due}. Changes owed to the CRM: {f.write_backs_pending}.",
        (
            f"{f.crm_calls} CRM calls, {round(f.crm_calls / days)} a day: the {crm.place} is looked at every quarter"
            f" hour, however little is due. That is {round(f.crm_calls_per_1000_touches)} for 1,000 emails."
            f" {f.provider_requests} requests to the provider. {f.seconds} s."
        ),
        "All promises held." if f.kept else "A PROMISE WAS BROKEN.",
    )
    return "\n" + "\n".join(textwrap.fill(line, WIDTH, subsequent_indent="  ") for line in lines)
