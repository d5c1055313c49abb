"""Preflight checks of a mail server, each with a stable code."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

from connectors.smtp.session import SmtpRefusedError, SmtpSession
from connectors.smtp.settings import SmtpSettings, Tls
from crmdrip.core.errors import ErrorClass
from crmdrip.ports import CheckResult
from crmdrip.ports.finding import fail, ok, warn
from crmdrip.settings import is_loopback


def check_server(settings: SmtpSettings, tls: ssl.SSLContext) -> Iterator[CheckResult]:
    """Whether a session can be had. Connects once, sends nothing, raises nothing."""
    if settings.tls is Tls.NONE and not is_loopback(settings.host):
        yield warn(
            "SMTP-CLEAR",
            "Emails travel unprotected: everyone on the way can read them.",
            'Set mail.smtp.tls = "starttls" or "implicit".',
        )
    where = f"{settings.host}:{settings.real_port}"
    try:
        SmtpSession(settings, tls).close()
    except SmtpRefusedError as error:
        if error.error is ErrorClass.AUTH:
            yield fail(
                "SMTP-LOGIN",
                f"{where} refused the login ({error.detail}).",
                "Check mail.smtp.username and mail.smtp.password.",
            )
        else:
            yield fail(
                "SMTP-REACH",
                f"{where} gives no session ({error.detail}).",
                "Check mail.smtp.host, mail.smtp.port, mail.smtp.tls and the way out to the network.",
            )
    else:
        yield ok("SMTP-REACH", f"{where} takes emails from us.")
    yield warn(
        "SMTP-LOG",
        "SMTP keeps no log to ask: an email in doubt always waits for a person.",
        "Nothing, or use a provider with a log.",
    )
