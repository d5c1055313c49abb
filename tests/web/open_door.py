"""A door that is open, and a client that trusts it with nothing."""

from __future__ import annotations

import http.client
from dataclasses import dataclass

from stage import Stage

from crmdrip.web.door import Door
from crmdrip.web.health import Health
from crmdrip.web.unsubscribe import Unsubscribes

KEY = "sandbox-unsubscribe-key"


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
