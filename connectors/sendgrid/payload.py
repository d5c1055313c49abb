"""The JSON of one email for POST /v3/mail/send, built with the SDK's own classes."""

from __future__ import annotations

from typing import TypeVar

import orjson
from sendgrid.helpers.mail import (
    Category,
    ClickTracking,
    CustomArg,
    Email,
    From,
    Header,
    Mail,
    MailSettings,
    OpenTracking,
    ReplyTo,
    SandBoxMode,
    SubscriptionTracking,
    To,
    TrackingSettings,
)
from sendgrid.helpers.mail.exceptions import ApiKeyIncludedException

from connectors.sendgrid.settings import SendGridSettings
from crmdrip.core.errors import RejectedError
from crmdrip.ports import EmailMessage

E = TypeVar("E", bound=Email)

TOUCH_ARG = "crmdrip_touch"
"""The custom argument that carries the touch's id into events and logs. SendGrid keeps custom arguments and categories
for long and shows them to its staff ("do not put PII", mail/send reference), so nothing else goes into either."""


class PayloadBuilder:
    """Turns emails into request bodies, one way for all emails of one account."""

    def __init__(self, settings: SendGridSettings) -> None:
        self._tracking = TrackingSettings()
        self._tracking.click_tracking = ClickTracking(settings.click_tracking, settings.click_tracking)
        self._tracking.open_tracking = OpenTracking(settings.open_tracking)
        # The unsubscribe headers and link are our own; SendGrid's would stand beside them.
        self._tracking.subscription_tracking = SubscriptionTracking(enable=False)
        self._mail_settings = MailSettings(sandbox_mode=SandBoxMode(enable=True)) if settings.sandbox_mode else None

    def build(self, message: EmailMessage) -> bytes:
        """The request's body. Raises RejectedError for an email that cannot be expressed."""
        if _breaks_lines(message):
            raise RejectedError("a header, name or subject contains a line break")
        try:
            return self._encode(message)
        except ApiKeyIncludedException:
            # The SDK refuses a body that begins like one of SendGrid's own keys ("SG.x.y").
            raise RejectedError("the body looks like a SendGrid API key, and the SDK refuses to send it") from None
        except (TypeError, ValueError):
            # A lone surrogate, say, which no UTF-8 can carry.
            raise RejectedError("the email holds text that cannot be encoded") from None

    def _encode(self, message: EmailMessage) -> bytes:
        mail = Mail(
            from_email=_address(From(), message.from_address, message.from_name),
            to_emails=_address(To(), message.to_address, message.to_name),
            subject=message.subject,
            plain_text_content=message.text or None,
            html_content=message.html or None,
        )
        if message.reply_to:
            mail.reply_to = _address(ReplyTo(), message.reply_to, "")
        for name, value in message.headers.items():
            mail.add_header(Header(name, value))
        mail.add_custom_arg(CustomArg(TOUCH_ARG, message.touch_id))
        if message.category:
            mail.add_category(Category(message.category))
        mail.tracking_settings = self._tracking
        mail.mail_settings = self._mail_settings
        return orjson.dumps(mail.get())


def _address(email: E, address: str, name: str) -> E:
    # The constructor would parse "Name <address>" out of an address that comes alone, and so change a strange one.
    email.email = address
    email.name = name or None
    return email


def _breaks_lines(message: EmailMessage) -> bool:
    line = "\0".join(
        (
            message.subject,
            message.to_name,
            message.to_address,
            message.from_name,
            message.from_address,
            message.reply_to,
            *message.headers,
            *message.headers.values(),
        )
    )
    return "\n" in line or "\r" in line
