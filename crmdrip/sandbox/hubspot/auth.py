"""Credentials: service keys and private-app tokens, and OAuth apps whose tokens last half an hour."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any

from crmdrip.sandbox.http import Request, Response, json_response
from crmdrip.sandbox.hubspot.call import Grant
from crmdrip.sandbox.hubspot.refusals import Refusal

LASTS = timedelta(seconds=1_800)
"""Of an access token."""
APP_ID = 4_000_001
"""Of the private app or service key that a token given to `issue` belongs to."""

_MISSING = (
    "Authentication credentials not found. This API supports OAuth 2.0 authentication and you can find more details at"
    " https://developers.hubspot.com/docs/methods/auth/oauth-overview"
)

SCOPES = frozenset(
    {
        *(
            f"crm.objects.{name}.{way}"
            for name in ("contacts", "companies", "deals", "custom")
            for way in ("read", "write")
        ),
        *(
            f"crm.schemas.{name}.{way}"
            for name in ("contacts", "companies", "deals", "custom")
            for way in ("read", "write")
        ),
        "crm.objects.owners.read",
        "crm.lists.read",
        "crm.lists.write",
        "sales-email-read",
        "communication_preferences.read_write",
        "oauth",
    }
)
"""What an admin can pick for an app that sends sales email. `connected-email-data-access`, which the schema of the
emails object asks for, is reported as not selectable."""


@dataclass(kw_only=True, slots=True)
class App:
    """An OAuth app."""

    id: int
    client_id: str
    secret: str
    redirect_uri: str
    scopes: frozenset[str]
    codes: set[str] = field(default_factory=set)
    refresh_tokens: set[str] = field(default_factory=set)


@dataclass(frozen=True, kw_only=True, slots=True)
class Token:
    """One access token."""

    grant: Grant
    expires: datetime | None = None
    """None: never."""


class Tokens:
    """Every credential of a portal."""

    def __init__(self, clock: Callable[[], datetime], portal_id: int, seed: int) -> None:
        self._clock = clock
        self._portal_id = portal_id
        self._random = Random(f"tokens|{seed}")
        self._tokens: dict[str, Token] = {}
        self._apps: dict[str, App] = {}

    def issue(self, token: str, scopes: Iterable[str] = SCOPES, *, app_id: int = APP_ID) -> None:
        """Accept a service key or the token of a private app, with these scopes."""
        self._tokens[token] = Token(grant=Grant(scopes=frozenset(scopes), app_id=app_id))

    def revoke(self, token: str) -> None:
        """Take a token back, as rotating a key does."""
        self._tokens.pop(token, None)

    def register_app(
        self, client_id: str, secret: str, *, redirect_uri: str = "http://localhost/", scopes: Iterable[str] = SCOPES
    ) -> App:
        """Register an OAuth app."""
        app = App(
            id=APP_ID + len(self._apps) + 1,
            client_id=client_id,
            secret=secret,
            redirect_uri=redirect_uri,
            scopes=frozenset(scopes),
        )
        self._apps[client_id] = app
        return app

    def install(self, client_id: str) -> str:
        """An admin installs an app: the code its redirect carries."""
        code = self._text("na1")
        self._apps[client_id].codes.add(code)
        return code

    def grant_of(self, request: Request) -> Grant:
        """What the request's token may do. Raises Refusal with 401."""
        kind, _, text = request.headers.get("authorization", "").partition(" ")
        token = self._tokens.get(text.strip()) if kind.lower() == "bearer" else None
        if token is None:
            raise Refusal(_MISSING, "INVALID_AUTHENTICATION", status=401)
        if token.expires is not None and token.expires <= self._clock():
            age = int((self._clock() - token.expires).total_seconds())
            raise Refusal(
                f"The OAuth token used to make this call expired {age} second(s) ago.",
                "EXPIRED_AUTHENTICATION",
                status=401,
                context={"expire time": [token.expires.isoformat()]},
            )
        return token.grant

    def info(self, text: str) -> tuple[Token, int] | None:
        """A token and the seconds it has left, None for one nobody knows."""
        token = self._tokens.get(text)
        if token is None:
            return None
        left = 0 if token.expires is None else max(0, int((token.expires - self._clock()).total_seconds()))
        return token, left

    def answer(self, request: Request) -> Response:
        """The token endpoint: a code or a refresh token for an access token."""
        form = request.form()
        app = self._apps.get(form.get("client_id", ""))
        if app is None or not secrets.compare_digest(app.secret.encode(), form.get("client_secret", "").encode()):
            return _refuse("BAD_CLIENT_SECRET", "missing or invalid client secret")
        match form.get("grant_type"):
            case "authorization_code":
                if form.get("code", "") not in app.codes:
                    return _refuse("BAD_AUTH_CODE", "missing or unknown auth code")
                if form.get("redirect_uri", "") != app.redirect_uri:
                    return _refuse("MISMATCH_REDIRECT_URI_AUTH_CODE", "redirect uri does not match auth code")
                app.codes.discard(form["code"])
                refresh = self._text("na1")
                app.refresh_tokens.add(refresh)
            case "refresh_token":
                refresh = form.get("refresh_token", "")
                if refresh not in app.refresh_tokens:
                    return _refuse("BAD_REFRESH_TOKEN", "missing or invalid refresh token")
            case _:
                return _refuse("BAD_GRANT_TYPE", "missing or unknown grant type")
        access = self._text("CL")
        grant = Grant(scopes=app.scopes, app_id=app.id, public=True)
        self._tokens[access] = Token(grant=grant, expires=self._clock() + LASTS)
        body: dict[str, Any] = {
            "token_type": "bearer",
            "refresh_token": refresh,
            "access_token": access,
            "expires_in": int(LASTS.total_seconds()),
            "hub_id": self._portal_id,
            "scopes": sorted(app.scopes),
        }
        return json_response(200, body)

    def _text(self, prefix: str) -> str:
        return f"{prefix}-{self._random.getrandbits(128):032x}"


def _refuse(status: str, message: str) -> Response:
    return json_response(
        400, {"status": status, "message": message, "error": "invalid_grant", "error_description": message}
    )
