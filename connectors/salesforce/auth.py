"""Gets an access token from Salesforce: client credentials, JWT bearer, or a session somebody already has.

The token request is our own and not simple-salesforce's: that one drops the identity URL (which names the org, B25,
and our own user), sends `exp` as text, has no time-out, and makes an exception of its own of an answer that is no JSON.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import orjson
import requests

from connectors.salesforce.settings import JwtBearer, SalesforceSettings
from crmdrip.core.errors import AuthError, ConfigurationError, CrmdripError, RateLimitedError, RetriableError

_GRANT_JWT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_LIFE = timedelta(minutes=3)
"""Of the signed assertion; Salesforce accepts up to about five minutes."""

_DO_NEXT = {
    "invalid_client_id": "Check the consumer key; a new app takes up to ten minutes to become known.",
    "invalid_client": "Check the consumer key and secret.",
    "invalid_assertion": "Check that the private key belongs to the certificate on the app, and this machine's clock.",
    "invalid_grant": (
        "Client credentials: choose a run-as user with API Only. JWT: approve the user for the app by permission set. "
        "Both: check the domain."
    ),
    "unsupported_grant_type": "Switch the flow on in the app's OAuth policies.",
    "inactive_user": "The user is deactivated or frozen: activate or unfreeze it in Setup, Users.",
    "inactive_org": "The org is locked, closed or suspended: ask Salesforce Support, or whoever pays for it.",
}
"""By the `error` of the token endpoint (RFC 6749 section 5.2; help, "OAuth 2.0 Authorization Errors")."""
_SAID = {
    "ip restricted": (
        "Add this machine's address to the profile's Login IP Ranges, or set IP Relaxation in the app's policies."
    ),
    "approved": "Approve the user for the app: by permission set, in the app's policies.",
}
"""By a word of the description, where the same error has several causes."""
_LATER = frozenset({"server_error", "temporarily_unavailable", "unknown_error"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Token:
    """A session with one org."""

    access_token: str
    host: str
    """Of the org's instance, such as "acme.my.salesforce.com"."""
    org_id: str = ""
    """15 or 18 characters, "" where the answer did not say."""
    user_id: str = ""
    """Our own user, "" where the answer did not say."""

    def __repr__(self) -> str:
        return f"Token(host={self.host!r}, org_id={self.org_id!r})"  # never the secret


def request_token(session: requests.Session, settings: SalesforceSettings, now: datetime) -> Token:
    """A fresh token. Raises AuthError, RetriableError, RateLimitedError, ConfigurationError."""
    auth = settings.auth
    if auth.session is not None:
        token = auth.session.session_id.get_secret_value()
        # A session id begins with the org's id: "00D5e000000abcd!AQ...".
        return Token(
            access_token=token,
            host=urlsplit(auth.session.instance_url).netloc,
            org_id=token.partition("!")[0] if "!" in token else "",
        )
    if auth.client_credentials is not None:
        # In the form and not as Basic: there a secret's "+" or "%" is read differently by different servers.
        app = auth.client_credentials
        form = {"client_id": app.consumer_key, "client_secret": app.consumer_secret.get_secret_value()}
        return _post(session, settings, {"grant_type": "client_credentials", **form})
    assert auth.jwt_bearer is not None  # noqa: S101 - the settings hold exactly one way
    assertion = _assertion(auth.jwt_bearer, settings.domain, now)
    return _post(session, settings, {"grant_type": _GRANT_JWT, "assertion": assertion})


def _assertion(bearer: JwtBearer, domain: str, now: datetime) -> str:
    import jwt  # noqa: PLC0415 - with cryptography 8 MB, which no other way of logging in needs

    sandbox = domain == "test" or ".sandbox" in domain
    claims = {
        "iss": bearer.consumer_key,
        "sub": bearer.username,
        "aud": bearer.audience or f"https://{'test' if sandbox else 'login'}.salesforce.com",
        "exp": int((now + _LIFE).timestamp()),
    }
    try:
        return jwt.encode(claims, bearer.private_key.get_secret_value(), algorithm="RS256")
    except (jwt.PyJWTError, ValueError, TypeError):
        raise ConfigurationError(
            "the private key is no RSA key in PEM form.",
            where="Salesforce login",
            do_next="Point private_key at the key's file: it begins with -----BEGIN.",
        ) from None  # the cause may quote the key


def _post(session: requests.Session, settings: SalesforceSettings, form: dict[str, str]) -> Token:
    url = f"https://{settings.domain}.salesforce.com/services/oauth2/token"
    try:
        response = session.post(url, data=form, headers={"Accept": "application/json"}, allow_redirects=False)
    except requests.exceptions.SSLError:
        raise RetriableError(
            "the certificate of the login host is not trusted.",
            where=settings.base_url or url,
            do_next="Where a proxy opens TLS, name the file with its certificate: [crm.salesforce] ca_file.",
        ) from None
    except requests.RequestException as error:
        if settings.base_url:
            raise RetriableError(
                f"the sandbox does not answer ({type(error).__name__}).",
                where=settings.base_url,
                do_next="Type crmdrip sandbox in another terminal; for the real Salesforce remove base_url.",
            ) from None
        raise RetriableError(
            f"no answer from the login host ({type(error).__name__}).",
            where=url,
            do_next="Check domain and the way out to the network, and try again later.",
        ) from None
    if response.status_code != 200:
        raise _refusal(url, response)
    try:
        answer = orjson.loads(response.content)
        instance = urlsplit(str(answer["instance_url"]))
        org_id, user_id = [*urlsplit(str(answer.get("id", ""))).path.split("/")[-2:], "", ""][:2]
        if not instance.netloc:
            raise ValueError  # noqa: TRY301 - handled with every other unreadable answer
        return Token(
            access_token=str(answer["access_token"]),
            host=instance.netloc,
            org_id=org_id if org_id.startswith("00D") else "",
            user_id=user_id if user_id.startswith("005") else "",
        )
    except (ValueError, KeyError, TypeError):
        raise RetriableError("the login host's answer holds no token.", where=url) from None


def _refusal(url: str, response: requests.Response) -> CrmdripError:
    status = response.status_code
    if response.is_redirect:
        host = urlsplit(response.headers["Location"]).hostname or ""
        return ConfigurationError(
            f"the login host leads on to {host}: the org has another My Domain.",
            where=url,
            do_next=f'Set domain = "{host.removesuffix(".salesforce.com")}", if that is your org.',
        )
    if status == 429:
        after = response.headers.get("Retry-After", "")
        return RateLimitedError("too many logins.", where=url, retry_after=float(after) if after.isdecimal() else None)
    if status >= 500:
        return RetriableError(f"the login host answered {status}.", where=url)
    try:
        answer = orjson.loads(response.content)
        code, text = str(answer["error"]), str(answer.get("error_description") or "")
    except (ValueError, KeyError, TypeError):
        code, text = f"HTTP {status}", ""
    if code == "rate_limit_exceeded":
        return RateLimitedError("too many logins.", where=url, do_next="Wait: Salesforce limits logins by the hour.")
    if code in _LATER:
        return RetriableError(f"the login host answered {code}.", where=url)
    what = f"login refused: {code}" + (f" ({text})." if text else ".")
    said = next((advice for word, advice in _SAID.items() if word in text.lower()), "")
    return AuthError(what, where=url, do_next=said or _DO_NEXT.get(code, "Check the domain and the app's settings."))
