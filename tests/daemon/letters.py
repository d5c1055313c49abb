"""Mail as people and their programs write it, for the daemon's tests."""

from __future__ import annotations

import hashlib
from email.message import EmailMessage

from stage import Stage

from crmdrip.core.received import RawMail
from crmdrip.daemon.listening import take_mail
from crmdrip.sandbox.sendgrid import AcceptedEmail

DOMAIN = "reply.acme.example"


def letter(
    sender: str, text: str, *, subject: str = "Re: Hello", to: str = "sales@acme.example", **headers: str
) -> bytes:
    """One mail. headers: further ones, "_" for "-"."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = sender, to, subject
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    told = hashlib.sha256(repr((sender, text, subject, to, named)).encode()).hexdigest()[:12]
    mail["Message-ID"] = named.pop("Message-ID", f"<{told}@mail.example>")
    for name, value in named.items():
        mail[name] = value
    mail.set_content(text)
    return mail.as_bytes()


def answer(email: AcceptedEmail, text: str, *, sender: str = "", **headers: str) -> bytes:
    """An answer to an email that went out: to its Reply-To, in its thread."""
    own = header(email, "Message-ID")
    return letter(
        sender or email.to,
        text,
        subject=f"Re: {email.subject}",
        to=email.message.get("reply_to", {}).get("email") or email.sender,
        **{"In_Reply_To": own, "References": own, **headers},
    )


def header(email: AcceptedEmail, name: str) -> str:
    """A header field of an email that went out, "" where it has none."""
    return str(email.message.get("headers", {}).get(name, ""))


def came_in(stage: Stage, body: bytes, source: str = "sendgrid:inbound") -> None:
    """It was taken by the door, or read from a mailbox, and is acted on."""
    key = hashlib.sha256(body).hexdigest()[:32]
    take_mail(stage.parts, RawMail(source=source, key=key, body=body, received_at=stage.now), stage.now)
