"""A name server on loopback that knows what it is told, and can be told to know nothing."""

from __future__ import annotations

import socket
import threading
from typing import Self

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset


class NameServer:
    """Answers over UDP. zone: records by (name, type), such as {("acme.org", "TXT"): ['"v=spf1 -all"']}."""

    def __init__(self, zone: dict[tuple[str, str], list[str]]) -> None:
        self.zone = zone
        self.broken: set[str] = set()
        """Names for which it fails (SERVFAIL)."""
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def port(self) -> int:
        """Of UDP."""
        return self._socket.getsockname()[1]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bell:
            bell.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            wire, asker = self._socket.recvfrom(4096)
            if not wire:
                return
            self._socket.sendto(self._answer(dns.message.from_wire(wire)).to_wire(), asker)

    def _answer(self, query: dns.message.Message) -> dns.message.Message:
        (question,) = query.question
        name, kind = question.name.to_text(omit_final_dot=True), dns.rdatatype.to_text(question.rdtype)
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        if name in self.broken:
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif (name, kind) in self.zone:
            answer.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, *self.zone[name, kind]))
        elif not any(known == name for known, _ in self.zone):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        return answer
