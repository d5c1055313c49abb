"""The JSON of one email for POST /v3/mail/send, built with the SDK's own classes.

The SDK takes 25 us for an email (measured), ten times what its values need. Emails of one shape, with the same headers
and the same parts present, differ in nothing but strings: so the SDK builds one email of each shape, and the strings of
every further one take the places of the first one's.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any, TypeVar

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
from crmdrip.core.struct import replace
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
        self._shapes: dict[tuple[object, ...], _Shape] = {}

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
        values = [*_VALUES(message), *message.headers.values()]
        if message.text.startswith(_KEY_BEGINS) or message.html.startswith(_KEY_BEGINS) or not all(_NEEDED(message)):
            return orjson.dumps(self._by_sdk(message))
        present = (*map(bool, values[: len(_NAMES)]), *message.headers)
        shape = self._shapes.get(present)
        if shape is None:
            shape = self._shapes[present] = self._shape_of(message, len(values))
        return shape.fill(values)

    def _shape_of(self, message: EmailMessage, count: int) -> _Shape:
        """What the SDK makes of an email of this shape, with a mark in the place of each string."""
        marks = [f"\ue000{number}\ue000" for number in range(count)]
        texts: dict[str, Any] = {
            name: mark for name, mark in zip(_NAMES, marks, strict=False) if getattr(message, name)
        }
        headers = dict(zip(message.headers, marks[len(_NAMES) :], strict=True))
        return _Shape(orjson.dumps(self._by_sdk(replace(message, **texts, headers=headers))), marks)

    def _by_sdk(self, message: EmailMessage) -> dict[str, object]:
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
        found: dict[str, object] = mail.get()
        return found


_NAMES = (
    "touch_id",
    "to_address",
    "to_name",
    "from_address",
    "from_name",
    "reply_to",
    "subject",
    "html",
    "text",
    "category",
)
"""The strings of an email, beside its headers."""
_VALUES: Callable[[EmailMessage], tuple[str, ...]] = attrgetter(*_NAMES)
_NEEDED: Callable[[EmailMessage], tuple[str, ...]] = attrgetter("touch_id", "to_address", "from_address", "subject")
"""What every email has; one without is left to the SDK."""
_KEY_BEGINS = "SG."
"""What the SDK looks at more closely at the beginning of a body."""


class _Shape:
    """The JSON between the strings, and the order in which they come."""

    def __init__(self, body: bytes, marks: list[str]) -> None:
        """Raises ValueError where a mark stands in two places."""
        encoded = [orjson.dumps(mark) for mark in marks]
        places = sorted((body.index(mark), number) for number, mark in enumerate(encoded) if mark in body)
        self._order = [number for _, number in places]
        self._between: list[bytes] = []
        end = 0
        for start, number in places:
            self._between.append(body[end:start])
            end = start + len(encoded[number])
        self._end = body[end:]
        if any(body.count(mark) > 1 for mark in encoded):
            raise ValueError("the SDK wrote one string in two places")

    def fill(self, values: list[str]) -> bytes:
        """The JSON with these strings. Raises TypeError for one that no UTF-8 can carry."""
        parts: list[bytes] = []
        for between, number in zip(self._between, self._order, strict=True):
            parts += (between, orjson.dumps(values[number]))
        parts.append(self._end)
        return b"".join(parts)


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
