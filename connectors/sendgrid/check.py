"""Preflight checks of a SendGrid account, each with a stable code."""

from __future__ import annotations

from collections.abc import Iterator

from connectors.sendgrid.client import SendGridClient
from connectors.sendgrid.feed import GROUPS_PATH
from connectors.sendgrid.settings import SendGridSettings
from crmdrip.core.errors import AuthError, CrmdripError
from crmdrip.ports import CheckLevel, CheckResult

SEND_SCOPE = "mail.send"


def check_account(settings: SendGridSettings, client: SendGridClient) -> Iterator[CheckResult]:
    """Whether emails can go out and be followed up. Makes calls, sends nothing, raises nothing."""
    yield _check_server(settings)
    if settings.sandbox_mode:
        yield CheckResult(
            code="SG-SANDBOX-MODE",
            level=CheckLevel.WARN,
            what="sandbox_mode is on: SendGrid checks each email and delivers none.",
            do_next="Set mail.sendgrid.sandbox_mode = false to send.",
        )
    try:
        answer = client.get("/v3/scopes")
    except AuthError as error:
        yield CheckResult(
            code="SG-KEY",
            level=CheckLevel.FAIL,
            what=f"SendGrid refused the API key ({error.what}).",
            do_next='Give mail.sendgrid.api_key a valid key; a key of an EU account works with region = "eu" only.',
        )
        return
    except CrmdripError as error:
        yield CheckResult(
            code="SG-REACH",
            level=CheckLevel.FAIL,
            what=f"{settings.url} did not answer as SendGrid does ({error.what}).",
            do_next="Check mail.sendgrid.region, mail.sendgrid.base_url and the way out to the network.",
        )
        return
    yield CheckResult(code="SG-KEY", level=CheckLevel.OK, what="SendGrid accepts the API key.")
    scopes = answer.get("scopes") if isinstance(answer, dict) else None
    if isinstance(scopes, list) and SEND_SCOPE in scopes:
        yield CheckResult(code="SG-SEND", level=CheckLevel.OK, what="The key may send.")
    else:
        yield CheckResult(
            code="SG-SEND",
            level=CheckLevel.FAIL,
            what="The key may not send.",
            do_next="In SendGrid under Settings, API Keys, give it Mail Send: Full Access.",
        )
    yield _check_logs(client)
    yield _check_suppressions(client)
    yield _check_groups(settings, client)


def _check_server(settings: SendGridSettings) -> CheckResult:
    if not settings.base_url:
        return CheckResult(code="SG-REGION", level=CheckLevel.OK, what=f"Emails go to {settings.url}.")
    return CheckResult(
        code="SG-REGION",
        level=CheckLevel.WARN,
        what=f"base_url overrides the region: emails go to {settings.url}.",
        do_next="Remove mail.sendgrid.base_url to send through SendGrid itself.",
    )


def _check_logs(client: SendGridClient) -> CheckResult:
    # Asked rather than looked up: the vendor's list of permissions names none for this API.
    try:
        client.search("/v3/logs", {"query": "status IN ('processed')", "limit": 1})
    except CrmdripError as error:
        return CheckResult(
            code="SG-LOGS",
            level=CheckLevel.WARN,
            what=f"The Email Logs cannot be read ({error.what}): an email in doubt waits for its event or a person.",
            do_next="Give the key Email Activity: Read Access.",
        )
    return CheckResult(code="SG-LOGS", level=CheckLevel.OK, what="Emails in doubt can be looked up.")


def _check_suppressions(client: SendGridClient) -> CheckResult:
    try:
        client.get("/v3/suppression/bounces", {"limit": 1})
    except CrmdripError as error:
        return CheckResult(
            code="SG-SUPPRESSIONS",
            level=CheckLevel.WARN,
            what=f"The suppression lists cannot be read ({error.what}): stops made in SendGrid stay unheard.",
            do_next="Give the key Suppressions: Read Access.",
        )
    return CheckResult(code="SG-SUPPRESSIONS", level=CheckLevel.OK, what="Bounces and unsubscribes can be read.")


def _check_groups(settings: SendGridSettings, client: SendGridClient) -> CheckResult:
    """Whether who left an unsubscribe group is heard, and whether the groups named are there."""
    if not settings.unsubscribe_groups:
        return CheckResult(
            code="SG-GROUPS",
            level=CheckLevel.OK,
            what="Unsubscribe groups are left out on purpose: who unsubscribed from everything counts.",
        )
    try:
        answer = client.get("/v3/asm/groups")
        client.get(GROUPS_PATH)
    except CrmdripError as error:
        return CheckResult(
            code="SG-GROUPS",
            level=CheckLevel.WARN,
            what=f"The unsubscribe groups cannot be read ({error.what}): who left one stays unheard.",
            do_next="Give the key Unsubscribe Groups: Read Access, or set mail.sendgrid.unsubscribe_groups = [].",
        )
    there = {group.get("id") for group in answer if isinstance(group, dict)} if isinstance(answer, list) else set()
    if settings.unsubscribe_groups == "all":
        count = f"{len(there)} unsubscribe {'group counts' if len(there) == 1 else 'groups count'}"
        return CheckResult(code="SG-GROUPS", level=CheckLevel.OK, what=f"{count} for every sequence.")
    if missing := sorted(set(settings.unsubscribe_groups) - there):
        return CheckResult(
            code="SG-GROUPS",
            level=CheckLevel.WARN,
            what=f"SendGrid has no unsubscribe group {', '.join(map(str, missing))}.",
            do_next="Correct mail.sendgrid.unsubscribe_groups.",
        )
    return CheckResult(code="SG-GROUPS", level=CheckLevel.OK, what="The unsubscribe groups named count.")
