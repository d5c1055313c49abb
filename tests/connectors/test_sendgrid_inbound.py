"""Inbound Parse: who may post, and that both of its modes give one and the same email (B6, B27, B28)."""

from __future__ import annotations

import base64
import email
import email.policy
import json
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sendgrid_signer import NOW, Signer

from connectors.sendgrid.form import read_form
from connectors.sendgrid.inbound import InboundHook
from crmdrip.core.errors import RejectedError
from crmdrip.ports import Delivery, HookRequest, RawMail

SIGNER = Signer()
SECRET = "a-secret-of-some-length"
TYPE = 'multipart/form-data; boundary="xYzZY"'
RAW = (
    b"From: Ann <ann@acme.example>\r\nTo: reply+1@r.example\r\nSubject: =?utf-8?q?=C3=9Cber?=\r\n"
    b"Message-ID: <1@acme.example>\r\nContent-Type: text/plain; charset=iso-8859-1\r\n\r\nGr\xfc\xdfe\r\n"
)
ENVELOPE = json.dumps({"to": ["Reply+1@R.example", "reply+1@r.example"], "from": "ann@acme.example"})


def form(*fields: tuple[str, bytes], attachments: tuple[tuple[str, str, bytes], ...] = ()) -> bytes:
    """The body of a post."""
    lines: list[bytes] = []
    for name, value in fields:
        lines += [b'--xYzZY\r\nContent-Disposition: form-data; name="%b"\r\n' % name.encode(), value]
    for number, (file_name, kind, value) in enumerate(attachments, 1):
        head = f'form-data; name="attachment{number}"; filename="{file_name}"\r\nContent-Type: {kind}\r\n'
        lines += [b"--xYzZY\r\nContent-Disposition: %b" % head.encode(), value]
    return b"\r\n".join([*lines, b"--xYzZY--\r\n"])


def hook(**given: object) -> InboundHook:
    """With a key, unless told otherwise."""
    return InboundHook(**{"keys": (SIGNER.public_key,), "secrets": (), "limit": 30_000_000, **given})  # type: ignore[arg-type]  # values of the test's own choosing


def read(body: bytes, content_type: str = TYPE) -> RawMail:
    """The email of a post."""
    [mail] = hook().read(
        Delivery(source="sendgrid:inbound", key="k", body=body, content_type=content_type, received_at=NOW)
    )
    return mail


def message(mail: RawMail) -> email.message.EmailMessage:
    """As a program reads it that is not ours."""
    return email.message_from_bytes(mail.body, policy=email.policy.default)  # type: ignore[return-value]  # the policy's


class TestWho:
    """Only SendGrid, or whoever knows the address."""

    def request(self, secret: str = "", headers: dict[str, str] | None = None) -> HookRequest:
        """A post whose body is a form."""
        return HookRequest(headers=headers or {}, secret=secret, body=b"form")

    def test_a_signature_is_enough_where_keys_are_given(self) -> None:
        """The security policy of the parse setting signs as the Event Webhook does."""
        assert hook().authentic(self.request(headers=SIGNER.headers(b"form")), NOW)
        assert not hook().authentic(self.request(headers=SIGNER.headers(b"another form")), NOW)

    def test_a_retry_of_three_days_is_taken(self) -> None:
        """SendGrid drops a mail after three days, and not before."""
        signed = self.request(headers=SIGNER.headers(b"form"))
        assert hook().authentic(signed, NOW + timedelta(days=3))
        assert not hook().authentic(signed, NOW + timedelta(days=3, hours=2))

    def test_a_secret_in_the_address_is_enough_where_secrets_are_given(self) -> None:
        """Any of several, so that it can be replaced."""
        both = hook(keys=(), secrets=("another-secret-that-is-newer", SECRET))
        assert both.authentic(self.request(SECRET), NOW)
        assert not both.authentic(self.request(SECRET[:-1]), NOW)
        assert not both.authentic(self.request(""), NOW)

    def test_the_secret_may_be_the_password_of_the_address(self) -> None:
        """https://sendgrid:SECRET@host/: proxies do not write it into their logs."""
        basic = "Basic " + base64.b64encode(f"sendgrid:{SECRET}".encode()).decode()
        guarded = hook(keys=(), secrets=(SECRET,))
        assert guarded.authentic(self.request(headers={"authorization": basic}), NOW)
        assert not guarded.authentic(self.request(headers={"authorization": basic + "A"}), NOW)
        assert not guarded.authentic(self.request(headers={"authorization": f"Bearer {SECRET}"}), NOW)

    def test_where_both_are_asked_for_one_alone_is_not_enough(self) -> None:
        """B28: a secret that leaked into a log opens nothing."""
        strict = hook(secrets=(SECRET,))
        assert not strict.authentic(self.request(SECRET), NOW)
        assert not strict.authentic(self.request(headers=SIGNER.headers(b"form")), NOW)
        assert strict.authentic(self.request(SECRET, SIGNER.headers(b"form")), NOW)

    def test_without_key_and_secret_there_is_no_hook(self) -> None:
        """B28: anybody could write in anybody's name."""
        with pytest.raises(ValueError, match="anybody"):
            hook(keys=())

    def test_a_large_body_of_a_stranger_is_not_even_read(self) -> None:
        """B28: the headers alone decide whether 30 MB are taken into memory."""
        assert not hook(keys=(), secrets=(SECRET,)).admits(self.request("wrong"), NOW)
        assert not hook().admits(self.request(), NOW)

    @given(st.text(max_size=60), st.text(max_size=100))
    def test_no_stranger_gets_in(self, secret: str, authorization: str) -> None:
        """B28: whatever stands in the address and in the header."""
        guarded = hook(keys=(), secrets=(SECRET,))
        assert not guarded.authentic(self.request(secret, {"authorization": authorization}), NOW)


class TestRaw:
    """The field `email` is the message."""

    def test_the_message_comes_out_byte_by_byte(self) -> None:
        """In whatever charset it is, with every header its sender wrote."""
        assert read(form(("email", RAW), ("envelope", ENVELOPE.encode()))).body == RAW

    def test_the_envelope_says_whom_it_was_for(self) -> None:
        """B6: To can be anybody's."""
        assert read(form(("email", RAW), ("envelope", ENVELOPE.encode()))).envelope_to == ("reply+1@r.example",)

    @pytest.mark.parametrize("envelope", [b"", b"{", b"[]", b'{"to": 7}', b'{"to": [7, "nobody", null]}', b"\xff"])
    def test_a_spoilt_envelope_names_nobody(self, envelope: bytes) -> None:
        """B27: the email is read all the same."""
        assert read(form(("email", RAW), ("envelope", envelope))).envelope_to == ()

    def test_a_message_of_megabytes_in_one_field_is_read(self) -> None:
        """Default form readers refuse a field of more than one."""
        large = RAW + b"x" * 3_000_000
        assert read(form(("email", large))).body == large

    def test_a_message_with_lines_that_look_like_a_boundary_is_whole(self) -> None:
        """B27: dashes are no end of anything."""
        odd = RAW + b"--xYz\r\n--\r\n----xYzZ\r\n"
        assert read(form(("email", odd))).body == odd

    def test_a_repeated_post_has_the_same_key(self) -> None:
        """B23: also where the form around it is another one."""
        again = form(("email", RAW), ("envelope", ENVELOPE.encode())).replace(b"xYzZY", b"another")
        first = read(form(("envelope", ENVELOPE.encode()), ("email", RAW)))
        assert read(again, "multipart/form-data; boundary=another").key == first.key
        assert read(form(("email", RAW + b"!"))).key != first.key


HEADERS = (
    "From: Ann Lée <ann@acme.example>\nTo: reply+1@r.example\nMessage-Id: <1@acme.example>\n"
    "In-Reply-To: <0@r.example>\nReferences: <0@r.example>\n <00@r.example>\nAuto-Submitted: auto-replied\n"
    "Mime-Version: 1.0\nContent-Type: multipart/mixed; boundary=gone\nContent-Transfer-Encoding: 7bit\n"
).encode()


class TestParsed:
    """The message was taken apart, and is put together again."""

    def test_headers_stay_but_for_those_of_the_old_form(self) -> None:
        """B6, B8: threads and automatic answers are told by them."""
        found = message(read(form(("headers", HEADERS), ("text", b"Yes"), ("charsets", b'{"text":"utf-8"}'))))
        assert found["In-Reply-To"] == "<0@r.example>"
        assert found["References"] == "<0@r.example> <00@r.example>"
        assert found["Auto-Submitted"] == "auto-replied"
        assert found.get_content_type() == "text/plain"
        assert found.get_content().strip() == "Yes"

    def test_text_is_read_in_the_charset_its_sender_wrote_it_in(self) -> None:
        """The field holds the sender's bytes, and `charsets` says what they are."""
        body = form(
            ("headers", HEADERS), ("text", "Grüße".encode("iso-8859-1")), ("charsets", b'{"text":"iso-8859-1"}')
        )
        assert message(read(body)).get_content().strip() == "Grüße"

    @pytest.mark.parametrize("charsets", [b"", b"{}", b'{"text":"klingon"}', b'{"text":7}', b'{"text":"a\\u0000b"}'])
    def test_a_charset_that_nobody_knows_loses_no_mail(self, charsets: bytes) -> None:
        """B27: read as UTF-8, else as what most programs mean."""
        body = form(("headers", HEADERS), ("text", "Grüße".encode("cp1252")), ("charsets", charsets))
        assert message(read(body)).get_content().strip() == "Grüße"

    def test_text_and_html_are_alternatives(self) -> None:
        """As they came."""
        found = message(read(form(("headers", HEADERS), ("html", b"<p>Yes</p>"), ("text", b"Yes"))))
        assert found.get_content_type() == "multipart/alternative"
        assert [part.get_content().strip() for part in found.iter_parts()] == ["Yes", "<p>Yes</p>"]

    def test_attachments_keep_name_type_and_bytes(self) -> None:
        """An invitation's answer is one, and so is what a server reports."""
        body = form(
            ("headers", HEADERS),
            ("text", b"Accepted"),
            ("attachment-info", b'{"attachment1":{"filename":"inv\xc3\xaft.ics","type":"text/calendar"}}'),
            attachments=(("x.ics", "application/ics", b"BEGIN:VCALENDAR\r\n\x00\xff"),),
        )
        _, invitation = message(read(body)).iter_parts()
        assert (invitation.get_content_type(), invitation.get_filename()) == ("text/calendar", "invït.ics")
        assert invitation.get_payload(decode=True) == b"BEGIN:VCALENDAR\r\n\x00\xff"

    def test_a_report_is_still_one(self) -> None:
        """B7: its fields are read wherever they stand in a message."""
        status = b"Reporting-MTA: dns; mx\r\n\r\nFinal-Recipient: rfc822; ann@acme.example\r\nStatus: 5.1.1\r\n"
        body = form(
            ("headers", HEADERS),
            ("text", b"Not delivered"),
            attachments=(("", "message/delivery-status", status), ("", "message/rfc822", RAW)),
        )
        _, report, original = message(read(body)).iter_parts()
        assert report.get_content_type() == "message/delivery-status"
        assert [dict(part.items()).get("Status") for part in report.get_payload()] == [None, "5.1.1"]
        assert original.get_content()["Message-ID"] == "<1@acme.example>"

    def test_without_header_fields_the_other_fields_serve(self) -> None:
        """A form with `from` and `subject` alone still has a sender."""
        found = message(
            read(form(("from", "Ann Lée <ann@acme.example>".encode()), ("subject", b"Hi"), ("text", b"Yes")))
        )
        assert "ann@acme.example" in str(found["From"])
        assert found["Subject"] == "Hi"

    def test_no_field_can_write_a_header_of_its_own(self) -> None:
        """B27: a subject with a line break in it is one line."""
        found = message(
            read(form(("from", b"a@b.example"), ("subject", b"Hi\r\nX-Evil: 1\r\n\r\nbody"), ("text", b"Yes")))
        )
        assert found["X-Evil"] is None
        assert found.get_content().strip() == "Yes"

    def test_a_repeated_post_is_the_same_message(self) -> None:
        """B23: boundaries are not drawn by lot."""
        body = form(("headers", HEADERS), ("text", b"Yes"), ("html", b"<p>Yes</p>"))
        assert read(body).key == read(body).key


class TestRefusing:
    """What is no email."""

    @pytest.mark.parametrize(
        ("body", "content_type"),
        [
            (form(("email", RAW)), "application/json"),
            (form(("email", RAW)), "multipart/form-data"),
            (form(("email", RAW)), ""),
            (form(("email", RAW)), "multipart/form-data; boundary=" + "x" * 500),
            (form(("email", RAW)), "multipart/form-data; boundary=other"),
            (form(("email", RAW))[:-20], TYPE),
            (form(("spam_score", b"1")), TYPE),
            (b"", TYPE),
        ],
    )
    def test_a_body_that_is_no_whole_form_with_an_email_is_refused(self, body: bytes, content_type: str) -> None:
        """It is kept as failed, and shown."""
        with pytest.raises(RejectedError):
            read(body, content_type)

    def test_a_form_of_endless_fields_is_bounded(self) -> None:
        """B27: fields beyond any email's are left out."""
        fields = [(f"f{number}", b"") for number in range(3_000)]
        assert len(read_form(form(("email", RAW), *fields), TYPE)) == 1_000

    @given(
        st.dictionaries(
            st.sampled_from(
                ["email", "headers", "text", "html", "envelope", "charsets", "attachment-info", "from", "attachment1"]
            ),
            st.binary(max_size=120),
        )
    )
    def test_whatever_the_fields_hold_is_an_email_or_refused(self, fields: dict[str, bytes]) -> None:
        """B27: no crash, and what comes out can be read as a message."""
        try:
            mail = read(form(*fields.items()))
        except RejectedError:
            return
        assert message(mail).as_bytes() is not None

    @given(st.binary(max_size=300), st.sampled_from([TYPE, "multipart/form-data; boundary=a"]))
    def test_bytes_that_are_no_form_are_refused_by_name(self, body: bytes, content_type: str) -> None:
        """B27: by the one error that the port names."""
        try:
            read(body, content_type)
        except RejectedError:
            return
