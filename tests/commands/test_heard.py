"""What the commands show of answers: why tells a person's, status what came in and whom nobody knows (P3)."""

from __future__ import annotations

from datetime import UTC, datetime
from email.message import EmailMessage

from office import Office, Shell

from crmdrip.core.received import RawMail, delivery_of
from crmdrip.ledger import received
from crmdrip.ledger.store import open_ledger


def deliver(office: Office, sender: str, text: str, subject: str = "Re: Hello 1", **headers: str) -> None:
    """A mail came in by the door and waits to be read."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = sender, "sales@acme.example", subject
    mail["Message-ID"] = f"<{abs(hash((sender, text)))}@mail.example>"
    for name, value in headers.items():
        mail[name.replace("_", "-")] = value
    mail.set_content(text)
    raw = RawMail(
        source="sendgrid:inbound", key=mail["Message-ID"], body=mail.as_bytes(), received_at=datetime.now(UTC)
    )
    ledger = open_ledger(f"sqlite:///{office.ledger_file}")
    with ledger.write() as connection:
        received.store(connection, [delivery_of(raw)])
    ledger.close()


def test_why_tells_of_a_reply(office: Office, crmdrip: Shell) -> None:
    """P3: when, and to what."""
    (person,) = office.ticked()
    crmdrip("once")
    deliver(office, "p0@firm0.example", "Yes, let us talk.")
    crmdrip("once")
    said = crmdrip("why", person).out
    assert "reply (from mail): Re: Hello 1" in said
    assert "Stopped" in said


def test_why_tells_of_an_absence(office: Office, crmdrip: Shell) -> None:
    """B8: and until when it lasts."""
    (person,) = office.ticked()
    crmdrip("once")
    year = datetime.now(UTC).year + 1
    text = f"I am out of the office and will be back on 10 January {year}."
    deliver(office, "p0@firm0.example", text, "Automatic reply: Hello 1", Auto_Submitted="auto-replied")
    crmdrip("once")
    said = crmdrip("why", person).out
    assert f"out of office, back on 10 Jan {year} (from mail): Automatic reply: Hello 1" in said
    assert f"Paused in 'Hello': the person is out of office until 10 Jan {year}" in said
    assert crmdrip("why", person, "--json").json["history"]["signals"][0]["until"] == f"{year}-01-10"


def test_status_tells_what_came_in(office: Office, crmdrip: Shell) -> None:
    """P3: replies by number, and strangers by name."""
    office.ticked()
    crmdrip("once")
    deliver(office, "p0@firm0.example", "Yes, let us talk.")
    deliver(office, "Dan <dan@other.example>", "Who are you?", "A question")
    crmdrip("once")
    said = crmdrip("status").out
    assert "Mail in the last 7 days: 1 reply." in said
    assert "Mail of nobody known here in the last 7 days: 1." in said
    assert "dan@other.example: A question" in said
    found = crmdrip("status", "--json").json["overview"]["answers"]
    assert (found["kinds"], found["unknown"]) == ({"reply": 1}, 1)
