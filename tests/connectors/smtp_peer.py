"""A mail server on loopback as a peer of the mailer contract, and one that says exactly what it is told."""

from __future__ import annotations

import asyncio
import email.policy
import threading
from collections import Counter
from collections.abc import Callable, Collection
from email.message import EmailMessage as MimeMessage
from email.parser import BytesParser
from typing import Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult

from crmdrip.testing.mailer import Carried, Trouble

USERNAME, PASSWORD = "rep", "correct horse"


class _KeepingSMTP(SMTP):
    """Remembers its open connections, to be able to cut them."""

    def __init__(self, *args, open_connections: set, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self._open_connections = open_connections

    def connection_made(self, transport) -> None:
        super().connection_made(transport)
        self._open_connections.add(self)

    def connection_lost(self, error) -> None:
        super().connection_lost(error)
        self._open_connections.discard(self)


class _Controller(Controller):
    def __init__(self, peer: SmtpPeer, **kwargs) -> None:
        super().__init__(peer, hostname="127.0.0.1", port=0, **kwargs)
        self.open_connections: set[SMTP] = set()

    def factory(self):
        return _KeepingSMTP(self.handler, open_connections=self.open_connections, **self.SMTP_kwargs)

    def _trigger_server(self) -> None:
        # aiosmtpd connects to see whether it listens, and would take port 0 for the real one.
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


class SmtpPeer:
    """aiosmtpd with a memory and bad manners."""

    troubles = frozenset(Trouble) - {Trouble.RATE_LIMIT}
    """SMTP has no way to say until when."""

    def __init__(self, **kwargs) -> None:
        self._controller = _Controller(self, authenticator=self._authenticate, auth_require_tls=False, **kwargs)
        self._troubles: dict[str, Trouble] = {}
        self._accepted: list[bytes] = []
        self._offered: Counter[str] = Counter()
        self.logins = 0
        self.secured: list[bool] = []

    def __enter__(self) -> Self:
        self._controller.start()
        return self

    def __exit__(self, *exc: object) -> None:
        # aiosmtpd leaves open connections to the garbage collector, which reports them.
        self.stop()
        self.hang_up()
        self._controller.stop(no_assert=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._controller.port

    def _authenticate(self, server, session, envelope, mechanism, data) -> AuthResult:
        self.logins += 1
        denied = Trouble.DENY in self._troubles.values()
        good = (data.login, data.password) == (USERNAME.encode(), PASSWORD.encode())
        return AuthResult(success=good and not denied, handled=False)

    async def handle_RCPT(self, server, session, envelope, address, options) -> str:  # noqa: N802 - the name is aiosmtpd's
        """Take or refuse a recipient."""
        trouble = self._troubles.get(address)
        if trouble is Trouble.REJECT:
            return f"550 5.1.1 <{address}>: Recipient address rejected: User unknown"
        if trouble is Trouble.REFUSE:
            return "451 4.7.1 Greylisted, try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope) -> str:  # noqa: N802 - the name is aiosmtpd's
        """Take or lose an email."""
        (address,) = envelope.rcpt_tos
        self._offered[address] += 1
        self.secured.append(session.ssl is not None)
        trouble = self._troubles.get(address)
        if trouble is not Trouble.CUT_BEFORE_ACCEPT:
            self._accepted.append(envelope.original_content)
        if trouble in {Trouble.CUT_AFTER_ACCEPT, Trouble.CUT_BEFORE_ACCEPT}:
            server.transport.abort()
        if trouble is Trouble.SLOW:
            await asyncio.sleep(60)
        return "250 2.0.0 Ok: queued as 4F2B1C"

    def accepted(self) -> list[Carried]:
        """What was taken."""
        return [_carried(content) for content in list(self._accepted)]

    def offered(self) -> Counter[str]:
        """How often a whole email came for each address."""
        return Counter(self._offered)

    def misbehave(self, trouble: Trouble, addresses: Collection[str]) -> None:
        """From now on, with emails to these addresses."""
        self._troubles.update(dict.fromkeys(addresses, trouble))

    def hang_up(self) -> None:
        """Cut what is open."""

        def cut() -> None:
            for connection in list(self._controller.open_connections):
                connection.transport.abort()

        self._call(cut)
        self._call(lambda: None)

    def stop(self) -> None:
        """Listen no more."""
        self._call(self._controller.server.close)
        self.hang_up()

    def _call(self, function: Callable[[], None]) -> None:
        done = threading.Event()
        self._controller.loop.call_soon_threadsafe(lambda: (function(), done.set()))
        done.wait()


def _carried(content: bytes) -> Carried:
    message = BytesParser(_class=MimeMessage, policy=email.policy.default).parsebytes(content)
    to, sender = message["To"].addresses[0], message["From"].addresses[0]
    plain, html = message.get_body(("plain",)), message.get_body(("html",))
    return Carried(
        touch_id=message["X-Crmdrip-Touch"],
        to_address=to.addr_spec,
        to_name=to.display_name,
        from_address=sender.addr_spec,
        from_name=sender.display_name,
        reply_to=message["Reply-To"].addresses[0].addr_spec,
        subject=message["Subject"],
        html=html.get_content() if html is not None else "",
        text=plain.get_content() if plain is not None else "",
        headers={name: str(value) for name, value in message.items()},
        metadata=message["X-Crmdrip-Touch"],
    )
