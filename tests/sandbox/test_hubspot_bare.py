"""A portal in which nothing of crmdrip is, and what its people do once somebody has installed it."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from crmdrip.sandbox.__main__ import main
from crmdrip.sandbox.clock import SandboxClock
from crmdrip.sandbox.http import Request
from crmdrip.sandbox.hubspot import HubSpotPortal, Tier
from crmdrip.sandbox.hubspot.sandbox import HubSpotSandbox
from crmdrip.sandbox.hubspot.site import PortalPages
from crmdrip.sandbox.hubspot.world import Installed, PortalWorld, install, sequence_files
from crmdrip.sandbox.sendgrid import SCOPES, SendGridAccount
from crmdrip.sandbox.world import NOBODY_REACTS, SENDING_DOMAIN

MONDAY = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


class Portal:
    """A small one with its world and its pages, without servers."""

    def __init__(self, tier: Tier, installed: Installed) -> None:
        clock = SandboxClock(MONDAY)
        account = SendGridAccount(clock, api_keys={"key": SCOPES}, verified_domains=[SENDING_DOMAIN])
        self.portal = HubSpotPortal(clock, tier=tier)
        self.world = PortalWorld(
            self.portal, account, clock, people=120, habits=NOBODY_REACTS, installed=installed
        )  # fmt: skip
        self.pages = PortalPages(self.portal, account, self.world, clock)

    def see(self, path: str) -> str:
        """A page."""
        request = Request(method="GET", path=path, raw_query="", headers={"host": "127.0.0.1:8183"}, body=b"")
        response = self.pages.handle(request)
        assert response.status == 200
        return response.body.decode()


def bounced(portal: HubSpotPortal) -> list[str]:
    """Contacts of which crmdrip's properties say that email came back."""
    return [each.id for each in portal.all("contacts") if each.get("crmdrip_bounced_reason")]


def test_a_bare_portal_has_people_and_nothing_of_crmdrip() -> None:
    """As on the first day."""
    sandbox = Portal(Tier.PROFESSIONAL, Installed.NOTHING)
    assert len(sandbox.world.people) > 100
    assert not [name for kind in sandbox.portal.kinds for name in kind.properties if name.startswith("crmdrip")]


class TestAFolder:
    """Where its visitor writes sequences as files, the pages show those."""

    @pytest.fixture
    def sandbox(self, tmp_path: Path) -> Portal:
        """With one sequence that somebody wrote, and one with a slip."""
        sandbox = Portal(Tier.PROFESSIONAL, Installed.NOTHING)
        sandbox.pages.folder = tmp_path
        step = '[[step]]\nid = "a"\norder = 1\nkind = "Email"\ndelay = 0\nsubject = "Hello"\nbody = "Hi"\n'
        (tmp_path / "mine.toml").write_text(f'name = "Mine"\nstatus = "Live"\nsend_days = ["Mon", "Tue"]\n{step}')
        (tmp_path / "slip.toml").write_text("name =")
        return sandbox

    def test_a_sequence_of_one_s_own_can_be_chosen(self, sandbox: Portal) -> None:
        """By its file's name, which is its id."""
        person = next(iter(sandbox.world.people))
        assert '<option value="mine">Mine</option>' in sandbox.see(f"/people/{person}")

    def test_it_is_shown_with_its_steps(self, sandbox: Portal) -> None:
        """As in custom objects."""
        page = sandbox.see("/sequences/mine")
        assert all(text in page for text in ("Mon, Tue", "At once, in the window", "Hello"))

    def test_a_file_that_cannot_be_read_hides_no_other(self, sandbox: Portal) -> None:
        """It appears once it is mended."""
        page = sandbox.see("/sequences")
        assert ("Mine" in page, "slip" in page) == (True, False)


@pytest.mark.parametrize("path", ["/", "/people", "/sequences", "/outbox"])
def test_its_pages_can_be_looked_at(path: str) -> None:
    """Before anything is installed."""
    Portal(Tier.PROFESSIONAL, Installed.NOTHING).see(path)


def test_the_past_is_noted_once_crmdrip_is_installed() -> None:
    """Old bounces, as the seeded portal has them from the beginning; seen again, nothing is done twice."""
    with HubSpotSandbox(people=120, now=MONDAY, habits=NOBODY_REACTS, installed=Installed.NOTHING) as bare:
        bare.tick()
        assert bare.call(lambda: bounced(bare.portal)) == []
        bare.call(lambda: install(bare.portal))
        bare.tick()
        bare.tick()
        found = bare.call(lambda: bounced(bare.portal))
    assert len(found) == len(bounced(Portal(Tier.PROFESSIONAL, Installed.TOML).portal)) > 0


def test_sequences_become_records_where_there_are_objects() -> None:
    """With their steps, each associated with its sequence; their ids are what is chosen on a contact."""
    sandbox = Portal(Tier.ENTERPRISE, Installed.OBJECTS)
    records = {each.id: each for each in sandbox.portal.all("crmdrip_sequence")}
    assert set(sandbox.world.sequences.values()) == set(records)
    for sequence in records:
        steps = sandbox.portal.linked("crmdrip_sequence", sequence, "crmdrip_step")
        assert len(steps) > 1
        assert {step.get("sequence") for step in steps} == {sequence}


def test_the_pages_show_the_records() -> None:
    """The sequence with its steps, and what a daemon counts."""
    sandbox = Portal(Tier.ENTERPRISE, Installed.OBJECTS)
    sequence = next(iter(sandbox.world.sequences.values()))
    sandbox.portal.update("crmdrip_sequence", sequence, {"sent_count": 4321})
    assert "4321" in sandbox.see("/sequences")
    page = sandbox.see(f"/sequences/{sequence}")
    assert "Follow-ups at" in page
    assert "switched off" not in page


def test_the_command_writes_the_example_sequences(tmp_path: Path) -> None:
    """As TOML, beside what somebody has changed there already; and it says what to type."""
    mine = tmp_path / f"{next(iter(sequence_files()))}.toml"
    mine.write_text('name = "Mine"')
    options = ["--crm", "hubspot", "--bare", "--people", "10", "--speed", "0", "--sequences", str(tmp_path)]
    ports = ["--hubspot-port", "0", "--sendgrid-port", "0", "--pages-port", "0", "--end-with-stdin"]
    done = subprocess.run(
        [sys.executable, "-m", "crmdrip.sandbox", *options, *ports],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    assert mine.read_text() == 'name = "Mine"'
    assert all(tomllib.loads(path.read_text())["name"] for path in tmp_path.glob("*.toml"))
    assert f'sequences = "{tmp_path}"' in done.stdout
    assert "crmdrip install hubspot" in done.stdout


def test_what_is_hubspot_s_alone_is_refused_for_salesforce(capsys: pytest.CaptureFixture[str]) -> None:
    """A slip on the command line."""
    with pytest.raises(SystemExit):
        main(["--definitions", "objects"])
    assert "need --crm hubspot" in capsys.readouterr().err
