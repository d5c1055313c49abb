"""The whole sandbox in one object: an org, a mail account, a world and their pages, served from one thread.

    with Sandbox(people=2_000, seed=1) as sandbox:
        sandbox.salesforce_url, sandbox.sendgrid_url, sandbox.pages_url
        sandbox.set_time(sandbox.now() + timedelta(hours=1))
        sandbox.call(lambda: sandbox.world.violations())

The credentials are fixed, so that an example configuration works as it stands. They open nothing real.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import cached_property
from typing import Self, TypeVar

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from crmdrip.sandbox.clock import SandboxClock
from crmdrip.sandbox.control_api import ControlApi
from crmdrip.sandbox.courier import Courier
from crmdrip.sandbox.http import Request, Response, Server, ServerThread
from crmdrip.sandbox.oneclick import Clicker
from crmdrip.sandbox.pages import Pages, is_local
from crmdrip.sandbox.salesforce import SalesforceOrg
from crmdrip.sandbox.sendgrid import SCOPES, Keep, SendGridAccount
from crmdrip.sandbox.view import CrmView, OrgView
from crmdrip.sandbox.wires import Wires, connect
from crmdrip.sandbox.world import SENDING_DOMAIN, Habits, Happened, OneClick, World

T = TypeVar("T")

MY_DOMAIN = "acme.my.salesforce.com"
"""The org's host; a client reaches it through `base_url`, keeping this name."""
CONSUMER_KEY = "sandbox-consumer-key"
CONSUMER_SECRET = "sandbox-consumer-secret"
INSTALLER_KEY = "sandbox-installer-key"
INSTALLER_SECRET = "sandbox-installer-secret"
"""Of an app that runs as the admin: what crmdrip install salesforce logs in with, and nothing else does."""
USERNAME = "crmdrip@acme.example"
"""The integration user: runs the client credentials flow, and is approved for the JWT bearer flow."""
SENDGRID_KEY = "SG.sandbox.sandbox-secret"

SALESFORCE_PORT = 8181
SENDGRID_PORT = 8182
PAGES_PORT = 8183
"""Where `python -m crmdrip.sandbox` serves unless told otherwise; the first two stand in config.example.toml."""


class Sandbox:
    """Everything together. A context manager: inside, the servers run in a thread of their own.

    now: the clock's beginning, None for the real time. speed: see SandboxClock. Port 0 takes any free one.
    unsubscribes: whether people's one-click unsubscribes are really posted; otherwise they wait in
    `world.actions.one_clicks`. bare: nothing is installed in the org yet. Other arguments as in World and
    SendGridAccount.
    """

    def __init__(
        self,
        *,
        people: int = 2_000,
        seed: int = 1,
        now: datetime | None = None,
        speed: float = 0.0,
        habits: Habits | None = None,
        keep: Keep = Keep.EVERYTHING,
        unsubscribes: bool = True,
        verified_domains: Iterable[str] = (SENDING_DOMAIN,),
        salesforce_port: int = 0,
        sendgrid_port: int = 0,
        pages_port: int = 0,
        bare: bool = False,
    ) -> None:
        self._begin(SandboxClock(now, speed=speed), keep=keep, verified_domains=verified_domains, seed=seed)
        self.org = SalesforceOrg(self.clock, my_domain=MY_DOMAIN, seed=seed, bare=bare)
        self.org.register_app(CONSUMER_KEY, CONSUMER_SECRET, run_as=self.org.integration_user_id)
        self.org.register_app(INSTALLER_KEY, INSTALLER_SECRET, run_as=self.org.admin_id)
        world = World(
            self.org,
            self.account,
            self.clock,
            seed=seed,
            people=people,
            habits=habits,
            post=self.clicker.post if unsubscribes else None,
            scan=self.clicker.scan if unsubscribes else None,
        )
        self.pages = Pages(self.org, self.account, world, self.clock)
        self.salesforce_server = Server(self.org.handle, port=salesforce_port)
        self._finish(world, OrgView(self.org), self.salesforce_server, sendgrid_port, pages_port)

    def _begin(self, clock: SandboxClock, *, keep: Keep, verified_domains: Iterable[str], seed: int) -> None:
        """What is the same for every CRM: the clock, the mail account, and who carries requests out."""
        self.clock = clock
        self.account = SendGridAccount(
            self.clock, api_keys={SENDGRID_KEY: SCOPES}, verified_domains=verified_domains, keep=keep, seed=seed
        )
        self.courier = Courier(self.call)
        self.account.deliveries.post = self.courier.post
        self.clicker = Clicker(self.courier.post, self._one_click_answered)

    def _finish(self, world: World, crm: CrmView, crm_server: Server, sendgrid_port: int, pages_port: int) -> None:
        """What is the same for every CRM once there are people: the control API and the servers."""
        self.world = world
        self.control = ControlApi(crm, self.account, self.world, self.clock, self.courier, sendgrid_key=SENDGRID_KEY)
        self.sendgrid_server = Server(self.account.handle, port=sendgrid_port)
        self.pages_server = Server(self._handle_pages, port=pages_port)
        self.control.servers = {crm.name: crm_server, "sendgrid": self.sendgrid_server}
        self._thread = ServerThread(crm_server, self.sendgrid_server, self.pages_server)
        self._serving = False

    def __enter__(self) -> Self:
        """Begin to serve. Raises OSError when a port is taken."""
        self._thread.__enter__()
        self._serving = True
        return self

    def __exit__(self, *exc: object) -> None:
        self.courier.close()
        self._serving = False
        self._thread.__exit__(*exc)
        self._close()

    def _close(self) -> None:
        self.org.close()

    @property
    def addresses(self) -> dict[str, str]:
        """The base URL of every server, by name, the CRM's first."""
        urls = {name: server.url for name, server in self.control.servers.items()}
        return {**urls, "pages": self.pages_url}

    @property
    def salesforce_url(self) -> str:
        """The base URL of the org."""
        return self.salesforce_server.url

    @property
    def sendgrid_url(self) -> str:
        """The base URL of the mail account."""
        return self.sendgrid_server.url

    @property
    def pages_url(self) -> str:
        """The base URL of the pages; the control API is below /_sandbox/."""
        return self.pages_server.url

    @cached_property
    def jwt_private_key(self) -> str:
        """The PEM of a new RSA key that signs JWTs for USERNAME under CONSUMER_KEY; made when first asked for."""
        key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

        def register() -> None:
            self.org.register_app(
                CONSUMER_KEY,
                CONSUMER_SECRET,
                run_as=self.org.integration_user_id,
                public_key=public,
                approved=[USERNAME],
            )

        self.call(register)
        return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

    def connect(self, door: str) -> Wires:
        """Have the provider post events and replies to a door on this machine. Raises ValueError."""
        return self.call(lambda: connect(self.account, SENDGRID_KEY, door.rstrip("/")))

    def now(self) -> datetime:
        """The sandbox's time."""
        return self.clock()

    def set_time(self, now: datetime) -> list[Happened]:
        """Move the clock, and let everything happen that was due by then. Raises ValueError for a time in the past."""
        return self.call(lambda: self.control.move_clock(now))

    def tick(self) -> list[Happened]:
        """Let everything happen that is due by now: for a clock that runs by itself."""
        return self.call(lambda: self.control.advance(self.clock()))

    def call(self, function: Callable[[], T]) -> T:
        """Run a function in the servers' thread: the safe way to touch the org, the account and the world."""
        return self._thread.call(function) if self._serving else function()

    def _handle_pages(self, request: Request) -> Response:
        if not request.path.startswith(self.control.prefix):
            return self._show_page(request)
        return self.control.handle(request) if is_local(request) else Response(status=403)

    def _show_page(self, request: Request) -> Response:
        return self.pages.handle(request)

    def _one_click_answered(self, click: OneClick, problem: str) -> None:
        if problem:
            self.world.actions.not_unsubscribed(click, problem)
        else:
            self.world.actions.unsubscribed(click)
