"""OAuth tokens: the client credentials and the JWT bearer flow, and the sessions they open."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import unquote_plus

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from crmdrip.sandbox.http import Request, Response, json_response

JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
LOGIN_HOSTS = ("login.salesforce.com", "test.salesforce.com")
_LOOPBACK = ("127.0.0.1", "localhost")

FindUser = Callable[[str], str | None]
"""The id of the active user with that username."""


class TokenRefusal(Exception):  # noqa: N818 - an answer, as Refusal is
    """An OAuth error answer."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(f"{error}: {description}")
        self.error = error
        self.description = description
        self.status = status


@dataclass(frozen=True, kw_only=True, slots=True)
class ClientApp:
    """An external client app."""

    key: str
    secret: str
    run_as: str | None
    """The user of the client credentials flow, None when the admin has set none."""
    public_key: RSAPublicKey | None
    """Of the certificate that signs JWTs."""
    approved: frozenset[str]
    """Usernames admins have pre-authorized for the JWT bearer flow."""


@dataclass(kw_only=True, slots=True)
class _Session:
    user_id: str
    used: datetime


class Sessions:
    """The org's client apps and open sessions."""

    def __init__(
        self,
        clock: Callable[[], datetime],
        *,
        org_id: str,
        my_domain: str,
        instance_url: str,
        find_user: FindUser,
        idle: timedelta,
    ) -> None:
        self._clock = clock
        self._org_id = org_id
        self._my_domain = my_domain
        self._instance_url = instance_url
        self._find_user = find_user
        self._idle = idle
        self._sessions: dict[str, _Session] = {}
        self.apps: dict[str, ClientApp] = {}
        self.tokens_issued = 0

    def user_of(self, request: Request) -> str | None:
        """The user whose session the request carries, None for none; keeps the session alive."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        session = self._sessions.get(token) if scheme in ("Bearer", "OAuth") else None
        now = self._clock()
        if session is None or now - session.used > self._idle:
            return None
        session.used = now
        return session.user_id

    def open(self, user_id: str) -> str:
        """A new session's token."""
        self.tokens_issued += 1
        token = f"{self._org_id[:15]}!AQ{self.tokens_issued:06d}.{user_id}"
        self._sessions[token] = _Session(user_id=user_id, used=self._clock())
        return token

    def move(self, host: str) -> None:
        """The org has another My Domain. Open sessions are those of the old host, and end."""
        self._my_domain, self._instance_url = host, f"https://{host}"
        self.end_all()

    def end_all(self) -> None:
        """End every session, as an admin may: the next request of each gets a 401."""
        self._sessions.clear()

    def token(self, request: Request) -> Response:
        """Answer a request to the token endpoint."""
        try:
            return json_response(200, self._grant(request))
        except TokenRefusal as refusal:
            return json_response(
                refusal.status, {"error": refusal.error, "error_description": refusal.description}
            )  # fmt: skip

    def _grant(self, request: Request) -> dict[str, Any]:
        if request.method != "POST":
            raise TokenRefusal("invalid_request", "must use HTTP POST")
        form = request.form()
        host = request.headers.get("host", "").partition(":")[0].lower()
        match form.get("grant_type"):
            case "client_credentials":
                user_id = self._by_secret(request, form, host)
            case grant if grant == JWT_GRANT:
                user_id = self._by_assertion(form.get("assertion", ""), host)
            case _:
                raise TokenRefusal("unsupported_grant_type", "grant type not supported")
        token = self.open(user_id)
        return {
            "access_token": token,
            "signature": base64.b64encode(token.encode()[:32]).decode(),
            "scope": "api",
            "instance_url": self._instance_url,
            "id": f"https://login.salesforce.com/id/{self._org_id}/{user_id}",
            "token_type": "Bearer",
            "issued_at": str(int(self._clock().timestamp() * 1000)),
        }

    def _own_host(self, host: str) -> bool:
        # A client that reaches the stand-in by its port and not through a mounted adapter names no My Domain.
        return host == self._my_domain or host in _LOOPBACK

    def _by_secret(self, request: Request, form: dict[str, str], host: str) -> str:
        key, secret = form.get("client_id", ""), form.get("client_secret", "")
        scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            try:
                key, _, secret = base64.b64decode(credentials, validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                raise TokenRefusal("invalid_client", "invalid client credentials") from None
            key, secret = unquote_plus(key), unquote_plus(secret)
        if not self._own_host(host):
            raise TokenRefusal("invalid_grant", "request not supported on this domain")
        app = self.apps.get(key)
        if app is None:
            raise TokenRefusal("invalid_client_id", "client identifier invalid")
        if app.secret != secret:
            raise TokenRefusal("invalid_client", "invalid client credentials")
        if app.run_as is None:
            raise TokenRefusal("invalid_grant", "no client credentials user enabled")
        return app.run_as

    def _by_assertion(self, assertion: str, host: str) -> str:
        if not (self._own_host(host) or host in LOGIN_HOSTS):
            raise TokenRefusal("invalid_grant", "request not supported on this domain")
        head, claims, signed, signature = _read_jwt(assertion)
        app = self.apps.get(str(claims.get("iss")))
        if app is None:
            raise TokenRefusal("invalid_client_id", "client identifier invalid")
        if head.get("alg") != "RS256" or app.public_key is None:
            raise TokenRefusal("invalid_grant", "invalid assertion")
        try:
            app.public_key.verify(signature, signed, PKCS1v15(), SHA256())
        except InvalidSignature:
            raise TokenRefusal("invalid_grant", "invalid assertion") from None
        audiences = {f"https://{name}" for name in (*LOGIN_HOSTS, self._my_domain)} | {self._instance_url}
        if str(claims.get("aud", "")).rstrip("/") not in audiences:
            raise TokenRefusal("invalid_grant", "audience is invalid")
        self._check_expiry(claims.get("exp"))
        username = str(claims.get("sub"))
        user_id = self._find_user(username)
        if user_id is None or username not in app.approved:
            raise TokenRefusal("invalid_grant", "user hasn't approved this consumer")
        return user_id

    def _check_expiry(self, expires: object) -> None:
        # simple-salesforce sends exp as a string.
        try:
            moment = float(str(expires))
        except ValueError:
            raise TokenRefusal("invalid_grant", "invalid assertion") from None
        ahead = moment - self._clock().timestamp()
        if ahead < 0:
            raise TokenRefusal("invalid_grant", "assertion expired")
        if ahead > timedelta(minutes=5).total_seconds():
            raise TokenRefusal("invalid_grant", "expiration too far in the future")


def _decode(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _read_jwt(assertion: str) -> tuple[dict[str, Any], dict[str, Any], bytes, bytes]:
    try:
        head, claims, signature = assertion.split(".")
        return (
            orjson.loads(_decode(head)),
            orjson.loads(_decode(claims)),
            f"{head}.{claims}".encode(),
            _decode(signature),
        )
    except (ValueError, binascii.Error):
        raise TokenRefusal("invalid_grant", "invalid assertion") from None
