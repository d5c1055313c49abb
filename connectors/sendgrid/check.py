"""Preflight checks of a SendGrid account, each with a stable code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from connectors.sendgrid.client import SendGridClient, path_segment
from connectors.sendgrid.feed import GROUPS_PATH
from connectors.sendgrid.settings import SendGridSettings
from crmdrip.core.errors import AuthError, CrmdripError
from crmdrip.ports import CheckResult
from crmdrip.ports.finding import fail, ok, warn
from crmdrip.settings import is_stand_in

SEND_SCOPE = "mail.send"


def check_account(settings: SendGridSettings, client: SendGridClient) -> Iterator[CheckResult]:
    """Whether emails can go out and be followed up. Makes calls, sends nothing, raises nothing."""
    yield _check_server(settings)
    if settings.sandbox_mode:
        yield warn(
            "SG-SANDBOX-MODE",
            "sandbox_mode is on: SendGrid checks each email and delivers none.",
            "Set mail.sendgrid.sandbox_mode = false to send.",
        )
    try:
        answer = client.get("/v3/scopes")
    except AuthError as error:
        yield fail(
            "SG-KEY",
            f"SendGrid refused the API key ({error.what}).",
            'Give mail.sendgrid.api_key a valid key; a key of an EU account works with region = "eu" only.',
        )
        return
    except CrmdripError as error:
        advice = "Check mail.sendgrid.region, mail.sendgrid.base_url and the way out to the network."
        if is_stand_in(settings.url):
            advice = "Start the sandbox: crmdrip sandbox. For the real SendGrid remove mail.sendgrid.base_url."
        yield fail("SG-REACH", f"{settings.url} did not answer as SendGrid does ({error.what}).", advice)
        return
    yield ok("SG-KEY", "SendGrid accepts the API key.")
    scopes = answer.get("scopes") if isinstance(answer, dict) else None
    if isinstance(scopes, list) and SEND_SCOPE in scopes:
        yield ok("SG-SEND", "The key may send.")
    else:
        yield fail(
            "SG-SEND", "The key may not send.", "In SendGrid under Settings, API Keys, give it Mail Send: Full Access."
        )
    yield _check_logs(client)
    yield _check_suppressions(client)
    yield _check_groups(settings, client)
    yield _check_events(settings, client)
    yield _check_inbound(settings, client)
    yield _check_senders(client)


def _check_server(settings: SendGridSettings) -> CheckResult:
    if not settings.base_url:
        return ok("SG-REGION", f"Emails go to {settings.url}.")
    return warn(
        "SG-REGION",
        f"base_url overrides the region: emails go to {settings.url}.",
        "Remove mail.sendgrid.base_url to send through SendGrid itself.",
    )


def _check_logs(client: SendGridClient) -> CheckResult:
    # Asked rather than looked up: the vendor's list of permissions names none for this API.
    try:
        client.search("/v3/logs", {"query": "status IN ('processed')", "limit": 1})
    except CrmdripError as error:
        return warn(
            "SG-LOGS",
            f"The Email Logs cannot be read ({error.what}): an email in doubt waits for its event or a person.",
            "Give the key Email Activity: Read Access.",
        )
    return ok("SG-LOGS", "Emails in doubt can be looked up.")


def _check_suppressions(client: SendGridClient) -> CheckResult:
    try:
        client.get("/v3/suppression/bounces", {"limit": 1})
    except CrmdripError as error:
        return warn(
            "SG-SUPPRESSIONS",
            f"The suppression lists cannot be read ({error.what}): stops made in SendGrid stay unheard.",
            "Give the key Suppressions: Read Access.",
        )
    return ok("SG-SUPPRESSIONS", "Bounces and unsubscribes can be read.")


def _check_groups(settings: SendGridSettings, client: SendGridClient) -> CheckResult:
    """Whether who left an unsubscribe group is heard, and whether the groups named are there."""
    if not settings.unsubscribe_groups:
        return ok("SG-GROUPS", "Unsubscribe groups are left out on purpose: who unsubscribed from everything counts.")
    try:
        answer = client.get("/v3/asm/groups")
        client.get(GROUPS_PATH)
    except CrmdripError as error:
        return warn(
            "SG-GROUPS",
            f"The unsubscribe groups cannot be read ({error.what}): who left one stays unheard.",
            "Give the key Unsubscribe Groups: Read Access, or set mail.sendgrid.unsubscribe_groups = [].",
        )
    there = {group.get("id") for group in answer if isinstance(group, dict)} if isinstance(answer, list) else set()
    if settings.unsubscribe_groups == "all":
        count = f"{len(there)} unsubscribe {'group counts' if len(there) == 1 else 'groups count'}"
        return ok("SG-GROUPS", f"{count} for every sequence.")
    if missing := sorted(set(settings.unsubscribe_groups) - there):
        return warn(
            "SG-GROUPS",
            f"SendGrid has no unsubscribe group {', '.join(map(str, missing))}.",
            "Correct mail.sendgrid.unsubscribe_groups.",
        )
    return ok("SG-GROUPS", "The unsubscribe groups named count.")


def _check_events(settings: SendGridSettings, client: SendGridClient) -> CheckResult:
    """Whether bounces, complaints and opens are told as they happen, signed with a key we know."""
    if not settings.event_keys:
        return warn(
            "SG-EVENTS",
            "No events are taken: bounces and complaints are heard from the lists, and opens not at all.",
            "Switch on the signed Event Webhook, and give its key to mail.sendgrid.event_keys (docs/door.md).",
        )
    try:
        answer = client.get("/v3/user/webhooks/event/settings/all")
    except CrmdripError as error:
        return warn(
            "SG-EVENTS",
            f"Whether the Event Webhook is on cannot be read ({error.what}); the keys for it are configured.",
            "Give the key Mail Settings, Event Notification: Read Access, or look into SendGrid yourself.",
        )
    listed = answer.get("webhooks") if isinstance(answer, dict) else None
    webhooks = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    ours = [one for one in webhooks if one.get("public_key") in settings.event_keys and one.get("enabled")]
    if not ours:
        return warn(
            "SG-EVENTS",
            "No Event Webhook that is on is signed with a key of mail.sendgrid.event_keys: its posts are refused.",
            "In SendGrid under Mail Settings, Event Webhook, switch signing on and copy the verification key.",
        )
    silent = sorted({name for name in _WANTED for one in ours if not one.get(name)})
    if silent:
        return warn(
            "SG-EVENTS",
            f"The Event Webhook does not tell of: {', '.join(silent)}.",
            "Tick them in SendGrid under Mail Settings, Event Webhook.",
        )
    return ok("SG-EVENTS", f"Events go to {', '.join(str(one.get('url')) for one in ours)}.")


def _check_inbound(settings: SendGridSettings, client: SendGridClient) -> CheckResult:
    """Whether somebody's mail is posted here, signed with a key we know."""
    if not settings.inbound_keys and not settings.inbound_secrets:
        return ok("SG-INBOUND", "Inbound Parse is not used: no mail is taken.")
    try:
        answer = client.get("/v3/user/webhooks/parse/settings")
        listed = answer.get("result") if isinstance(answer, dict) else None
        hosts = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
        signed = [one for one in hosts if _key_of(one, client) in settings.inbound_keys]
    except CrmdripError as error:
        return warn(
            "SG-INBOUND",
            f"Whether Inbound Parse is set up cannot be read ({error.what}); its keys or secrets are configured.",
            "Give the key Inbound Parse: Read Access, or look into SendGrid yourself.",
        )
    if not hosts:
        return warn(
            "SG-INBOUND",
            "Inbound Parse has no setting: answers are posted to nobody.",
            "Add one in SendGrid under Settings, Inbound Parse (docs/door.md).",
        )
    if settings.inbound_keys and not signed:
        return warn(
            "SG-INBOUND",
            "Inbound Parse signs with no key of mail.sendgrid.inbound_keys: its posts are refused.",
            "Attach a security policy with a signature to the setting, and copy its key (docs/door.md).",
        )
    where = ", ".join(f"{one.get('hostname')} to {one.get('url')}" for one in signed or hosts)
    return ok("SG-INBOUND", f"Mail is posted: {where}.")


def _key_of(setting: Mapping[str, Any], client: SendGridClient) -> str:
    """The key that a parse setting's posts are signed with, "" for none. Raises what the client raises."""
    if not (policy_id := setting.get("security_policy")):
        return ""
    answer = client.get(f"/v3/user/webhooks/security/policies/{path_segment(str(policy_id))}")
    policy = answer.get("policy") if isinstance(answer, dict) else None
    signature = policy.get("signature") if isinstance(policy, dict) else None
    return str(signature.get("public_key") or "") if isinstance(signature, dict) else ""


def _check_senders(client: SendGridClient) -> CheckResult:
    """Whose emails SendGrid takes: domains with its CNAME records in DNS (DKIM, return path), and single senders."""
    try:
        domains = client.get("/v3/whitelabel/domains", {"limit": 200})
        senders = client.get("/v3/verified_senders", {"limit": 200})
    except CrmdripError as error:
        return warn(
            "SG-SENDERS",
            f"Whose emails SendGrid takes cannot be read ({error.what}): a sender that is not verified is held.",
            "Give the key Sender Authentication: Read Access, or look at Settings, Sender Authentication.",
        )
    known = [one for one in domains if isinstance(one, dict)] if isinstance(domains, list) else []
    listed = senders.get("results") if isinstance(senders, dict) else None
    single = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    broken = sorted({str(one.get("domain")) for one in known if not one.get("valid")})
    good = sorted({str(one.get("domain")) for one in known if one.get("valid")})
    good += sorted({str(one.get("from_email")) for one in single if one.get("verified")})
    if broken:
        return warn(
            "SG-SENDERS",
            f"SendGrid does not find its DNS records for {', '.join(broken)}: emails from there are not signed.",
            "Add the CNAME records shown in SendGrid under Settings, Sender Authentication, and verify there.",
        )
    if not good:
        return warn(
            "SG-SENDERS",
            "No domain and no sender is verified in SendGrid: every email will be held.",
            "Authenticate the domain of your reps in SendGrid under Settings, Sender Authentication.",
        )
    return ok("SG-SENDERS", f"SendGrid takes emails from {', '.join(good)}.")


_WANTED = ("processed", "delivered", "bounce", "dropped", "deferred", "spam_report", "unsubscribe")
"""Events that settle doubts, stop runs, or explain why nothing arrived. Opens and clicks are shown and no more."""
