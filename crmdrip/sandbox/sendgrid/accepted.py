"""The emails SendGrid accepted: the tests' oracle for "never twice" and for what a person received.

A record is kept per recipient. Bodies stay as the bytes that came in and are decoded only when somebody looks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, StrEnum
from typing import Any, cast

import orjson


class Keep(Enum):
    """How much of an accepted email is kept."""

    EVERYTHING = "everything"
    IDS = "ids"
    """Touch, address, message id and time alone: for benchmarks of a hundred thousand emails and more."""


class Fate(StrEnum):
    """What became of an email after it was accepted, in the words of the Email Logs API."""

    PROCESSED = "processed"
    DELIVERED = "delivered"
    DROPPED = "dropped"
    BOUNCED = "bounced"
    BLOCKED = "blocked"


@dataclass(kw_only=True, slots=True)
class AcceptedEmail:
    """One email to one recipient."""

    at: datetime
    """When it was accepted, aware UTC."""
    message_id: str
    """The X-Message-Id of the request, 22 characters."""
    touch: str
    """The value of the custom argument that names the touch, "" when there was none."""
    to: str
    recipient: int
    """Which recipient of the request, from 0."""
    key_id: str
    """The public part of the API key."""
    fate: Fate = Fate.DELIVERED
    reason: str = ""
    """Why it was dropped or bounced."""
    block: int = 0
    """Which personalization of the request, from 0."""
    body: bytes = b""
    """The request, b"" when only ids are kept."""

    @property
    def sg_message_id(self) -> str:
        """The id in logs and events: starts with the X-Message-Id, ends with the recipient's number."""
        return f"{self.message_id}.recvd-sandbox-7c9d8b-1-67A1B2C3-1.{self.recipient}"

    @property
    def message(self) -> Mapping[str, Any]:
        """The decoded request; empty when only ids are kept."""
        return cast("Mapping[str, Any]", orjson.loads(self.body)) if self.body else {}

    @property
    def sender(self) -> str:
        """The From address."""
        return str(self._own("from", {}).get("email", ""))

    @property
    def sender_name(self) -> str:
        """The From display name."""
        return str(self._own("from", {}).get("name", ""))

    @property
    def to_name(self) -> str:
        """The recipient's display name."""
        for kind in ("to", "cc", "bcc"):
            for person in self._block().get(kind) or ():
                if person["email"] == self.to:
                    return str(person.get("name", ""))
        return ""

    @property
    def reply_to(self) -> str:
        """The Reply-To address, "" for none."""
        return str(self.message.get("reply_to", {}).get("email", ""))

    @property
    def subject(self) -> str:
        """The subject line."""
        return str(self._own("subject", ""))

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers asked for; a personalization's win over the message's."""
        return self._merged("headers")

    @property
    def custom_args(self) -> Mapping[str, str]:
        """The custom arguments; a personalization's win over the message's."""
        return self._merged("custom_args")

    @property
    def categories(self) -> list[str]:
        """The categories."""
        return list(self.message.get("categories", ()))

    @property
    def text(self) -> str:
        """The plain text, "" for none."""
        return self._content("text/plain")

    @property
    def html(self) -> str:
        """The HTML, "" for none."""
        return self._content("text/html")

    @property
    def unsubscribe_url(self) -> str:
        """The first https or http link of List-Unsubscribe, "" for none (RFC 8058)."""
        return self._unsubscribe_link(("https://", "http://"))

    @property
    def unsubscribe_mailto(self) -> str:
        """The first mailto link of List-Unsubscribe, "" for none (RFC 2369)."""
        return self._unsubscribe_link(("mailto:",))

    def _unsubscribe_link(self, schemes: tuple[str, ...]) -> str:
        for name, value in self.headers.items():
            if name.lower() == "list-unsubscribe":
                for part in value.split(","):
                    link = part.strip().removeprefix("<").removesuffix(">")
                    if link.lower().startswith(schemes):
                        return link
        return ""

    def _block(self) -> Mapping[str, Any]:
        blocks: Any = self.message.get("personalizations") or ({},)
        return cast("Mapping[str, Any]", blocks[self.block])

    def _own(self, key: str, default: Any) -> Any:
        message = self.message
        return self._block().get(key, message.get(key, default))

    def _merged(self, key: str) -> dict[str, str]:
        return {**self.message.get(key, {}), **self._block().get(key, {})}

    def _content(self, kind: str) -> str:
        for part in self.message.get("content", ()):
            if part["type"] == kind:
                return str(part["value"])
        return ""


def recipients(message: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    """The personalization's number and the address of every recipient of a valid message."""
    for index, block in enumerate(message["personalizations"]):
        for kind in ("to", "cc", "bcc"):
            for person in block.get(kind) or ():
                yield index, person["email"]
