"""Inbound Parse of the SendGrid stand-in: settings, policies, and the two forms in which mail is posted."""

from __future__ import annotations

import base64
from email.message import EmailMessage
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key
from mailroom import BASE, HOST, MAIL_URL, Mailroom, read_form

from crmdrip.sandbox.sendgrid.signing import SIGNATURE_HEADER, TIMESTAMP_HEADER

SETTINGS, POLICIES = f"{BASE}/parse/settings", f"{BASE}/security/policies"
RECIPIENT = f"reply+abc@{HOST}"


@pytest.fixture
def room() -> Mailroom:
    return Mailroom()


def open_host(room: Mailroom, **settings: Any) -> None:
    room.json("POST", SETTINGS, {"hostname": HOST, "url": MAIL_URL, "spam_check": False, "send_raw": False, **settings})


def letter(text: str = "Grüße aus Köln", charset: str = "iso-8859-1", **headers: str) -> EmailMessage:
    mail = EmailMessage()
    mail["From"] = "Käthe Jäger <kaethe@kunde.example>"
    mail["To"] = RECIPIENT
    mail["Subject"] = "Aw: Rückfrage"
    for name, value in headers.items():
        mail[name.replace("_", "-")] = value
    mail.set_content(text, charset=charset, cte="8bit")
    return mail


def post(room: Mailroom, mail: EmailMessage | bytes, sender: str = "kaethe@kunde.example") -> dict[str, bytes]:
    """Let a mail arrive, and read the form it is posted in."""
    raw = mail if isinstance(mail, bytes) else mail.as_bytes()
    assert room.account.parse.receive(raw, sender=sender, recipient=RECIPIENT)
    room.pass_time(seconds=0)
    return read_form(room.posted[-1])


# --- settings ---------------------------------------------------------------------------------------------------------


def test_a_setting_is_created_shown_changed_and_deleted(room: Mailroom) -> None:
    """In the vendor's own shape."""
    open_host(room)
    expected = {"url": MAIL_URL, "hostname": HOST, "spam_check": False, "send_raw": False}
    assert room.json("GET", f"{SETTINGS}/{HOST}") == expected
    assert room.json("PATCH", f"{SETTINGS}/{HOST}", {"send_raw": True}) == {**expected, "send_raw": True}
    assert room.json("GET", SETTINGS) == {"result": [{**expected, "send_raw": True}]}
    assert room.ask("DELETE", f"{SETTINGS}/{HOST}").status == 204
    assert room.ask("GET", f"{SETTINGS}/{HOST}").status == 404


def test_only_an_authenticated_domain_may_receive(room: Mailroom) -> None:
    """Another's host is refused."""
    answer = room.ask("POST", SETTINGS, {"hostname": "reply.other.example", "url": MAIL_URL})
    assert answer.status == 400


def test_mail_for_another_host_is_not_taken(room: Mailroom) -> None:
    """It belongs to whoever runs that mail server."""
    open_host(room)
    assert room.account.parse.accepts(RECIPIENT.upper())
    assert not room.account.parse.accepts("maya@acme.example")
    assert not room.account.parse.receive(b"From: a@b.example\r\n\r\nx", sender="", recipient="maya@acme.example")


# --- the parsed form --------------------------------------------------------------------------------------------------


def test_the_parsed_form_has_the_vendor_s_fields(room: Mailroom) -> None:
    """Each by its name, hyphens and capitals included; the boundary is the vendor's own."""
    open_host(room, spam_check=True)
    mail = letter()
    mail.add_alternative("<p>Grüße</p>", subtype="html", charset="utf-8")
    mail.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="angebot.pdf", cid="<p1>")
    form = post(room, mail)
    expected = {"headers", "dkim", "content-ids", "to", "html", "from", "text", "sender_ip", "envelope", "attachments"}
    expected |= {"subject", "spam_report", "spam_score", "attachment-info", "charsets", "SPF", "attachment1"}
    assert form.keys() == expected
    assert room.posted[-1].headers["Content-Type"] == "multipart/form-data; boundary=xYzZY"
    assert form["attachments"] == b"1"
    assert form["attachment1"] == b"%PDF"
    assert orjson.loads(form["content-ids"]) == {"p1": "attachment1"}
    info = orjson.loads(form["attachment-info"])["attachment1"]
    assert (info["filename"], info["type"], info["content-id"]) == ("angebot.pdf", "application/pdf", "p1")


def test_without_a_check_nothing_is_said_of_spam(room: Mailroom) -> None:
    """The two fields are absent."""
    open_host(room)
    assert not {"spam_score", "spam_report"} & post(room, letter()).keys()


@pytest.mark.parametrize(
    ("charset", "text"),
    [
        ("iso-8859-1", "Grüße aus Köln"),
        ("windows-1252", "C\u2019est noté, 50 \u20ac"),
        ("iso-2022-jp", "資料を送っていただけますか。"),
        ("gb18030", "谢谢。下周联系。"),
        ("utf-8", "Dziękuję, proszę dzwonić w piątek"),
    ],
)
def test_text_keeps_the_bytes_of_its_charset(room: Mailroom, charset: str, text: str) -> None:
    """Nothing is converted: `charsets` says what the bytes are."""
    open_host(room)
    head = f"From: a@kunde.example\r\nTo: {RECIPIENT}\r\nContent-Type: text/plain; charset={charset}\r\n"
    raw = f"{head}Content-Transfer-Encoding: 8bit\r\n\r\n".encode() + text.encode(charset)
    form = post(room, raw)
    assert form["text"] == text.encode(charset)
    assert form["text"].decode(orjson.loads(form["charsets"])["text"]) == text


def test_a_delivery_report_is_an_attachment_line_for_line(room: Mailroom) -> None:
    """Its groups of fields stay apart by one empty line, and the returned headers stand in another attachment."""
    open_host(room)
    status = (
        b"Reporting-MTA: dns; mx.kunde.example\r\n\r\nFinal-Recipient: rfc822; a@kunde.example\r\nAction: failed\r\n"
    )
    returned = b"Message-ID: <t1@acme.example>\r\nSubject: Hello\r\n"
    raw = b"\r\n".join(
        [
            b"From: MAILER-DAEMON@kunde.example\r\nContent-Type: multipart/report; boundary=b\r\n",
            b"--b\r\nContent-Type: text/plain\r\n\r\nIt came back.",
            b"--b\r\nContent-Type: message/delivery-status\r\n\r\n" + status,
            b"--b\r\nContent-Type: text/rfc822-headers\r\n\r\n" + returned,
            b"--b--\r\n",
        ]
    )
    form = post(room, raw, sender="")
    assert form["attachments"] == b"2"
    assert form["attachment1"].strip() == status.strip()
    assert form["attachment2"].strip() == returned.strip()
    assert [entry["type"] for entry in orjson.loads(form["attachment-info"]).values()] == [
        "message/delivery-status",
        "text/rfc822-headers",
    ]


def test_encoded_text_is_decoded_from_its_transfer_encoding(room: Mailroom) -> None:
    """Base64 and quoted-printable belong to the way, not to the text."""
    open_host(room)
    mail = letter()
    mail.set_content("Grüße", charset="iso-8859-1", cte="base64")
    assert post(room, mail)["text"].strip() == "Grüße".encode("iso-8859-1")


def test_headers_come_sorted_unfolded_and_decoded(room: Mailroom) -> None:
    """As the vendor's own recorded requests show them."""
    open_host(room)
    form = post(room, letter(Auto_Submitted="auto-replied", References="<a@x.example> " * 6 + "<b@x.example>"))
    lines = form["headers"].decode().splitlines()
    assert lines == sorted(lines)
    assert "Subject: Aw: Rückfrage" in lines
    assert "Auto-Submitted: auto-replied" in lines
    assert any(line.startswith("References:") and line.endswith("<b@x.example>") for line in lines)


def test_the_envelope_says_by_which_address_it_came(room: Mailroom) -> None:
    """Whatever To says; the sender of a bounce is empty."""
    open_host(room)
    form = post(room, letter(), sender="")
    assert orjson.loads(form["envelope"]) == {"to": [RECIPIENT], "from": ""}


# --- the raw form -----------------------------------------------------------------------------------------------------


def test_the_raw_form_carries_the_mail_untouched(room: Mailroom) -> None:
    """Byte for byte, below the line that the vendor's own server adds; there are no parsed fields beside it."""
    open_host(room, send_raw=True)
    raw = letter(Message_ID="<m1@kunde.example>").as_bytes()
    form = post(room, raw)
    assert form.keys() == {"dkim", "email", "to", "from", "sender_ip", "envelope", "subject", "charsets", "SPF"}
    trace, _, rest = form["email"].partition(b"\r\n")
    assert trace.startswith(b"Received: from mail.example")
    assert rest == raw
    assert form["subject"].decode() == "Aw: Rückfrage"


# --- authenticity -----------------------------------------------------------------------------------------------------


def test_a_policy_signs_the_raw_bytes(room: Mailroom) -> None:
    """With the Event Webhook's headers, over bytes that are no UTF-8."""
    policy = room.json("POST", POLICIES, {"name": "crmdrip", "signature": {"enabled": True}})["policy"]
    open_host(room, security_policy=policy["id"])
    post(room, letter())
    errand = room.posted[-1]
    with pytest.raises(UnicodeDecodeError):
        errand.body.decode()
    key = load_der_public_key(base64.b64decode(policy["signature"]["public_key"]))
    assert isinstance(key, ec.EllipticCurvePublicKey)
    signed = errand.headers[TIMESTAMP_HEADER].encode() + errand.body
    key.verify(base64.b64decode(errand.headers[SIGNATURE_HEADER]), signed, ec.ECDSA(hashes.SHA256()))


def test_a_policy_must_secure_something(room: Mailroom) -> None:
    """By a signature or by OAuth."""
    assert room.ask("POST", POLICIES, {"name": "empty"}).status == 400


def test_a_policy_in_use_is_deleted_by_force_alone(room: Mailroom) -> None:
    """Its host then posts unsigned."""
    policy = room.json("POST", POLICIES, {"name": "crmdrip", "signature": {"enabled": True}})["policy"]
    open_host(room, security_policy=policy["id"])
    assert room.ask("DELETE", f"{POLICIES}/{policy['id']}").status == 400
    assert room.ask("DELETE", f"{POLICIES}/{policy['id']}?force=true").status == 200
    post(room, letter())
    assert SIGNATURE_HEADER not in room.posted[-1].headers


# --- retries ----------------------------------------------------------------------------------------------------------


def test_mail_is_posted_again_for_three_days_and_then_lost(room: Mailroom) -> None:
    """And whoever waits for it is told only of success."""
    open_host(room)
    room.status = 500
    told: list[str] = []
    room.account.parse.receive(letter().as_bytes(), sender="", recipient=RECIPIENT, done=lambda: told.append("lost"))
    for _ in range(80):
        room.pass_time(hours=1)
    assert len(room.posted) > 10
    assert (len(room.account.deliveries.lost), told) == (1, [])


def test_whoever_waits_is_told_once_the_mail_was_taken(room: Mailroom) -> None:
    """After the retry that was answered with success."""
    open_host(room)
    room.status = 500
    told: list[str] = []
    room.account.parse.receive(letter().as_bytes(), sender="", recipient=RECIPIENT, done=lambda: told.append("taken"))
    room.pass_time(seconds=0)
    room.status = 204
    room.pass_time(minutes=1)
    assert told == ["taken"]
