"""crmdrip sandbox: serves the stand-ins, the world and its pages on this machine until it is told to end."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from crmdrip.sandbox.control import PAGES_PORT, SALESFORCE_PORT, SENDGRID_PORT, Sandbox
from crmdrip.sandbox.hubspot.limits import Tier
from crmdrip.sandbox.hubspot.portal import DEFAULT_TOKEN
from crmdrip.sandbox.hubspot.sandbox import HUBSPOT_PORT, HubSpotSandbox
from crmdrip.sandbox.hubspot.world import Installed, sequence_files
from crmdrip.sandbox.wires import REPLY_DOMAIN, Wires

TICK = 0.2
"""Real seconds between two looks at what is due, while the clock runs by itself."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT. Returns the exit status: 1 when a port is taken."""
    options = _parse(arguments)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    if options.end_with_stdin:
        threading.Thread(target=_await_end_of_stdin, args=(ended,), daemon=True).start()
    sandbox = _build(options)
    try:
        with sandbox:
            wires = sandbox.connect(options.door) if options.door else None
            if isinstance(sandbox, HubSpotSandbox):
                if options.sequences:
                    _write_sequences(options.sequences)
                    sandbox.portal_pages.folder = options.sequences
                print(explain_portal(sandbox, options), flush=True)  # noqa: T201 - a command's output
            _announce(sandbox, options.ports_file, wires)
            if options.bare:
                print(f"Nothing is installed here. Type crmdrip install {options.crm}.", flush=True)  # noqa: T201 - as above
            if options.tick and not options.bare:
                sandbox.call(lambda: sandbox.world.tick_boxes(options.tick))
            while not ended.wait(TICK if options.speed else None):
                sandbox.tick()
    except OSError as error:
        print(  # noqa: T201 - a command's output
            f"cannot serve: {error.strerror or error}.\nPerhaps another sandbox runs already. Otherwise choose other"
            " ports: --salesforce-port, --hubspot-port, --sendgrid-port, --pages-port.",
            file=sys.stderr,
        )
        return 1
    return 0


def _build(options: argparse.Namespace) -> Sandbox:
    if options.crm == "hubspot":
        objects = options.definitions == "objects"
        return HubSpotSandbox(
            people=options.people,
            seed=options.seed,
            now=options.now,
            speed=options.speed,
            tier=Tier.ENTERPRISE if objects else Tier.PROFESSIONAL,
            installed=Installed.NOTHING if options.bare else Installed.OBJECTS if objects else Installed.TOML,
            hubspot_port=options.hubspot_port,
            sendgrid_port=options.sendgrid_port,
            pages_port=options.pages_port,
        )
    return Sandbox(
        people=options.people,
        seed=options.seed,
        now=options.now,
        speed=options.speed,
        salesforce_port=options.salesforce_port,
        sendgrid_port=options.sendgrid_port,
        pages_port=options.pages_port,
        bare=options.bare,
    )


def _await_end_of_stdin(ended: threading.Event) -> None:
    """A pipe's other end closes even when whoever held it was killed."""
    while os.read(sys.stdin.fileno(), 4_096):
        pass
    ended.set()


def build_parser() -> argparse.ArgumentParser:
    """What may be typed."""
    parser = argparse.ArgumentParser(prog="crmdrip sandbox", description=__doc__)
    parser.add_argument("--people", type=int, default=2_000, help="contacts and leads together (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same world (%(default)s)")
    parser.add_argument(
        "--tick", type=float, default=0.0, metavar="SHARE", help="let reps tick this share of the boxes"
    )
    parser.add_argument("--now", type=_moment, help="where the clock begins, such as 2026-03-02T08:00:00Z (real time)")
    parser.add_argument(
        "--speed", type=float, default=1.0, help="clock seconds per second; 0 stands still (%(default)s)"
    )
    parser.add_argument(
        "--crm", choices=["salesforce", "hubspot"], default="salesforce", help="%(default)s unless given"
    )
    parser.add_argument("--bare", action="store_true", help="a CRM with nothing of crmdrip in it, for crmdrip install")
    parser.add_argument(
        "--definitions",
        choices=["toml", "objects"],
        default="toml",
        help="HubSpot: where its sequences stand; objects make it an Enterprise account (%(default)s unless given)",
    )
    parser.add_argument(
        "--sequences", type=Path, metavar="FOLDER", help="HubSpot: write the example sequences there as TOML files"
    )
    parser.add_argument("--hubspot-port", type=int, default=HUBSPOT_PORT, help="0 for any (%(default)s)")
    parser.add_argument("--salesforce-port", type=int, default=SALESFORCE_PORT, help="0 for any (%(default)s)")
    parser.add_argument("--sendgrid-port", type=int, default=SENDGRID_PORT, help="0 for any (%(default)s)")
    parser.add_argument("--pages-port", type=int, default=PAGES_PORT, help="0 for any (%(default)s)")
    parser.add_argument("--door", default="", help="post events and replies to a daemon's door: http://127.0.0.1:8025")
    parser.add_argument("--ports-file", type=Path, help="write the addresses here as JSON once everything is served")
    parser.add_argument("--end-with-stdin", action="store_true", help="end when standard input does")
    return parser


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = build_parser()
    options = parser.parse_args(arguments)
    if options.crm != "hubspot" and (options.sequences or options.definitions != "toml"):
        parser.error("--definitions and --sequences need --crm hubspot")
    return options


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text} has no zone: write {text}Z")
    return moment


def _announce(sandbox: Sandbox, ports_file: Path | None, wires: Wires | None) -> None:
    """Say where everything is, and write it down last of all, so that whoever waits for the file may begin."""
    addresses = {**sandbox.addresses, "pid": os.getpid()}
    for name, address in sandbox.addresses.items():
        print(f"{name:<10} {address}", flush=True)  # noqa: T201 - a command's output
    if wires is not None:
        print(explain(wires), flush=True)  # noqa: T201 - a command's output
    print("Tick boxes and answer emails on the pages. Ctrl-C ends.", flush=True)  # noqa: T201 - a command's output
    if ports_file is not None:
        partial = ports_file.with_name(ports_file.name + ".part")
        partial.write_text(json.dumps(addresses), encoding="utf-8")
        partial.replace(ports_file)


def explain(wires: Wires) -> str:
    """What makes a daemon take what is posted: lines to paste into the tables that a configuration has already."""
    return f"""To hear what is posted to the door, type these lines in config.toml
under [mail.sendgrid]:
event_keys = ["{wires.event_key}"]
inbound_keys = ["{wires.inbound_key}"]
and under [replies]:
domain = "{REPLY_DOMAIN}"
"""


def _write_sequences(folder: Path) -> None:
    """Those that are there stay as they are: somebody may have changed them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in sequence_files().items():
        path = folder / f"{name}.toml"
        if not path.exists():
            path.write_text(text, encoding="utf-8")


def explain_portal(sandbox: HubSpotSandbox, options: argparse.Namespace) -> str:
    """What points crmdrip at the portal: lines for the configuration."""
    folder = "" if options.definitions == "objects" else f'sequences = "{options.sequences or "sequences"}"\n'
    return f"""config.toml needs connector = "hubspot" under [crm], and this (crmdrip init --crm hubspot writes it):
[crm.hubspot]
{folder}base_url = "{sandbox.hubspot_url}"
[crm.hubspot.auth]
token = "{DEFAULT_TOKEN}"
"""


if __name__ == "__main__":
    sys.exit(main())
