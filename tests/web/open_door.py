"""A door that is open, and a client that trusts it with nothing."""

from __future__ import annotations

import http.client
import threading
from dataclasses import dataclass

from stage import Stage

from crmdrip.web.body import Room
from crmdrip.web.door import Door
from crmdrip.web.health import Health
from crmdrip.web.hooks import Hooks
from crmdrip.web.unsubscribe import Unsubscribes

KEY = "sandbox-unsubscribe-key"
HINT_SECRET = "a-secret-of-the-crms-own"


@dataclass
class Answer:
    """What the door answered."""

    status: int
    headers: dict[str, str]
    body: bytes


class OpenDoor:
    """The door with its client."""

    def __init__(self, stage: Stage, door: Door, unsubscribes: Unsubscribes) -> None:
        self.stage = stage
        self.door = door
        self.unsubscribes = unsubscribes
        self.health = Health(alive=True, ready=True)
        self.stored = threading.Event()
        """Set by the door when something new waits to be read."""
        self.hints = 0
        self.room = Room(1_000_000)
        self.hooks: Hooks

    def ask(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Answer:
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.door.port, timeout=10)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(status=response.status, headers=found, body=response.read())
        finally:
            connection.close()

    def count_hint(self) -> None:
        """What the daemon would do at a hint."""
        self.hints += 1

    def link(self, address: str) -> str:
        """The path in the last email to an address."""
        url = self.stage.sent(address)[-1].unsubscribe_url
        return "/" + url.split("/", 3)[3]

    def press(self, path: str) -> Answer:
        """What a mail provider does for its user (RFC 8058)."""
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = self.ask("POST", path, b"List-Unsubscribe=One-Click", form)
        self.door.settle()
        return answer
