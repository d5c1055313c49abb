"""crmdrip status."""

from __future__ import annotations

import http.client
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from crmdrip.assembly import WallClock
from crmdrip.commands.output import console, print_json, print_table
from crmdrip.commands.setup import read_existing_ledger, read_settings_to_look
from crmdrip.config import Settings
from crmdrip.inspection.answers import describe_answers
from crmdrip.inspection.overview import Overview, read_overview
from crmdrip.ledger.received import ReceivedCount

DOOR_SECONDS = 3.0
"""How long the door of a daemon on this machine may take to answer."""
_ANY_HOST = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - asked, not bound


@click.command()
@click.option("--healthy", is_flag=True, help="Print nothing; exit 0 if a daemon works here, else 1.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@click.pass_obj
def status(config: Path, *, healthy: bool, as_json: bool) -> int:
    """Show how the daemon, the ledger and every sequence are doing.

    Makes no call to the CRM.
    """
    settings = read_settings_to_look(config)
    door = ask_door(settings)
    if healthy:
        return 0 if is_healthy(settings, door) else 1
    with read_existing_ledger(settings) as ledger:
        overview = read_overview(ledger, WallClock().now())
    if as_json:
        print_json({"daemon": door, "overview": overview})
    else:
        _print(overview, door)
    return 0


def ask_door(settings: Settings) -> dict[str, Any] | None:
    """What the running daemon says of itself; None when none answers."""
    if settings.web.address is None:
        return None
    host, port = settings.web.address
    connection = http.client.HTTPConnection(_ANY_HOST.get(host, host), port, timeout=DOOR_SECONDS)
    try:
        connection.request("GET", "/healthz")
        answer = json.loads(connection.getresponse().read(1_000_000))
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
    return answer if isinstance(answer, dict) and "alive" in answer else None


def is_healthy(settings: Settings, door: dict[str, Any] | None) -> bool:
    """Whether a daemon is at work: by its door, and where it has none by its heartbeat in the ledger."""
    if settings.web.address is not None:
        return door is not None and bool(door["alive"])
    with read_existing_ledger(settings) as ledger:
        return read_overview(ledger, WallClock().now()).daemon_seen


def _print(overview: Overview, door: dict[str, Any] | None) -> None:
    out = console()
    for line in describe(overview, door):
        out.print(line, markup=False)
    if door is not None and door.get("loops"):
        out.print()
        print_table(
            ("Loop", "Last success", "Failures", "Error"),
            (
                (name, (loop["last_success"] or "never")[:19], str(loop["failures"]), loop["error"])
                for name, loop in door["loops"].items()
            ),
        )
    if overview.workers:
        out.print()
        print_table(
            ("Daemon", "Since", "Silent for", "Runs in hand", "Version", "Process"),
            (
                (
                    one.name,
                    f"{one.joined_at:%Y-%m-%d %H:%M}",
                    f"{one.silent:.0f} s",
                    str(one.runs),
                    one.version,
                    one.process.removeprefix("crmdrip "),
                )
                for one in overview.workers
            ),
        )
    if overview.sequences:
        out.print()
        print_table(
            ("Sequence", "State", "Runs", "Remarks"),
            (
                (
                    one.name,
                    one.state,
                    ", ".join(f"{count} {word}" for word, count in one.runs.items()) or "none",
                    " ".join(filter(None, (one.error, f"Waits: {one.waiting_for}." if one.waiting_for else ""))),
                )
                for one in overview.sequences
            ),
        )


def describe(overview: Overview, door: dict[str, Any] | None) -> list[str]:
    """What concerns everything, one thing a line."""
    touches = ", ".join(f"{count} {state.replace('_', ' ')}" for state, count in overview.touches.items()) or "none"
    lines = [
        f"Org {overview.org_id or 'not known yet'}. {describe_daemon(overview, door)}",
        f"Touches: {touches}. Runs to be looked at now: {overview.overdue}.",
        f"Owed to the CRM: {overview.owed}, and {overview.parked} parked.",
        f"Ledger {overview.ledger}" + ("." if overview.room else ": THE DISK IS NEARLY FULL, nothing is sent."),
    ]
    calls = door.get("crm_calls") if door is not None else None
    if calls and calls["limit"] is not None:
        lines.append(f"CRM calls in the last 24 hours, everybody's: {calls['used']} of {calls['limit']}.")
    lines += describe_clock(overview.clock_ahead_seconds)
    if overview.rebuilding:
        lines.append("SAFE MODE: history is being read back from the CRM; nothing is sent until that is done.")
    if overview.brake is not None:
        by = f" by {overview.brake}" if overview.brake else ""
        lines.append(f"THE BRAKE IS PULLED{by} in the CRM. Release it there and sending goes on.")
    if "" in overview.paused:
        lines.append("EVERYTHING IS PAUSED by command. Type crmdrip resume to go on.")
    lines += describe_mailboxes(door)
    lines += describe_received(overview.received, door)
    lines += describe_answers(overview.answers)
    waits = overview.touches.get("needs_person", 0)
    if overview.parked or waits:
        lines.append(f"Touches that need a person: {waits}. Parked write-backs: {overview.parked}. Type crmdrip retry.")
    return lines


def describe_clock(ahead: int) -> list[str]:
    """That this machine's clock is wrong, and what comes of it; nothing where it agrees with the CRM's."""
    if not ahead:
        return []
    off = f"THIS MACHINE'S CLOCK IS {timedelta(seconds=abs(ahead))}"
    next_step = "Switch time synchronization on (timedatectl set-ntp true)."
    if ahead > 0:
        return [f"{off} AHEAD of the CRM's, whose time counts meanwhile. {next_step}"]
    return [f"{off} BEHIND the CRM's: emails go out that much late. {next_step}"]


def describe_mailboxes(door: dict[str, Any] | None) -> list[str]:
    """Which mailboxes cannot be read, and why; nothing where all are heard."""
    mailboxes: dict[str, dict[str, Any]] = (door or {}).get("mailboxes") or {}
    return [
        f"THE MAILBOX {name} CANNOT BE READ: {one['error']} Nothing goes out until it can."
        f" Last heard: {(one['heard_at'] or 'never')[:19]}."
        for name, one in sorted(mailboxes.items())
        if one["error"]
    ]


def describe_received(count: ReceivedCount, door: dict[str, Any] | None) -> list[str]:
    """What came in and was not read, and what the door turned away; nothing where all is well."""
    lines = []
    if count.waiting:
        lines.append(f"Came in and is not read yet: {count.waiting}. Nothing goes out until it is.")
    if count.failed:
        lines.append(f"Came in and cannot be read: {count.failed}. Type crmdrip retry --received.")
    if count.unclear:
        lines.append(f"Came in with something that nobody knows in it: {count.unclear}, kept raw for a week.")
    posts: dict[str, dict[str, int]] = (door or {}).get("posts") or {}
    for source, fates in sorted(posts.items()):
        refused = {fate: number for fate, number in fates.items() if fate not in TAKEN}
        if refused:
            what = ", ".join(f"{number} {fate.replace('_', ' ')}" for fate, number in sorted(refused.items()))
            lines.append(f"Refused at the door since it opened, from {source}: {what}.")
    return lines


TAKEN = frozenset({"stored", "repeated", "hinted"})
"""Fates of a post that was taken (web.hooks.Fate)."""


def describe_daemon(overview: Overview, door: dict[str, Any] | None) -> str:
    """Whether a daemon works here, and what is wrong with it."""
    if door is None:
        beat = overview.heartbeat
        last = f"The last sign of work: {beat:%Y-%m-%d %H:%M} UTC." if beat is not None else "None ever worked here."
        return f"No daemon answers. {last}"
    if door["ready"]:
        return "The daemon works."
    loops: dict[str, Any] = door.get("loops") or {}
    failing = [name for name, loop in loops.items() if loop["failures"]]
    if failing:
        return f"The daemon runs, and this fails: {', '.join(failing)}. What works goes on, and it is tried again."
    return "The daemon has just started, or reads history back from the CRM."
