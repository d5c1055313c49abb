"""The doctor's checks of a HubSpot portal, each with a stable code. A handful of calls; writes nothing.

HS-LOGIN, HS-PORTAL, HS-SCOPES, HS-PROPERTIES, HS-OPTOUT-HIDDEN, HS-TOUCH-ID, HS-SEQUENCES, HS-LIMITS, HS-CONTROL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from connectors.hubspot.portal import RIGHT_PORTAL, Portal, wrong_portal
from connectors.hubspot.source import HubSpotSource
from connectors.hubspot.timeline import Timeline
from crmdrip.core.errors import AuthError, ConfigurationError, CrmdripError
from crmdrip.ports import CheckLevel, CheckResult, Purpose

_NEEDED: Mapping[str, str] = {
    "contact": "nobody can be read",
    "email": "what was sent cannot be logged; this needs sales-email-read as well",
    "task": "tasks for reps cannot be made",
    "note": "notes cannot be made",
}
_USEFUL: Mapping[str, str] = {
    "meeting": "meetings that reps book do not stop a run",
    "deal": "new deals do not stop a run",
    "company": "merge fields of the company are not known",
}
_TIMELINE = ("email", "task", "note")
_OPTIONAL = frozenset({"hard_bounce", "merged_stamps", "html", "headers", "away", "meeting_logged", "state", "country"})


def check_portal(source: HubSpotSource) -> Iterator[CheckResult]:
    """Every check, in order. Stops early when the portal cannot be asked. Raises nothing."""
    portal = source.portal
    try:
        found = portal.ask_identity()
    except AuthError as error:
        yield CheckResult(code="HS-LOGIN", level=CheckLevel.FAIL, what=error.what, do_next=error.do_next)
        return
    except CrmdripError as error:
        yield CheckResult(
            code="HS-UNREACHABLE", level=CheckLevel.FAIL, what=str(error), do_next=error.do_next or "Try again later."
        )
        return
    yield _ok("HS-LOGIN", f"logged in to {found.name}.")
    if (what := wrong_portal(found, portal.client.settings.portal_id)) is not None:
        yield CheckResult(code="HS-PORTAL", level=CheckLevel.FAIL, what=what, do_next=RIGHT_PORTAL)
    elif not portal.client.settings.portal_id:
        yield CheckResult(
            code="HS-PORTAL",
            level=CheckLevel.WARN,
            what=f"{found.name} answers, and no portal_id is set: a sandbox of it would be mailed from as well.",
            do_next=f'Set portal_id = "{found.org_id}".',
        )
    else:
        yield _ok("HS-PORTAL", f"{found.name} answers.")
    checks: tuple[Callable[[], Iterator[CheckResult]], ...] = (
        lambda: check_scopes(portal),
        lambda: check_properties(portal, source.timeline),
        lambda: check_sequences(portal),
        lambda: check_control(portal),
    )
    for check in checks:
        try:
            yield from check()
        except CrmdripError as error:
            yield CheckResult(
                code="HS-UNREACHABLE", level=CheckLevel.FAIL, what=str(error), do_next=error.do_next or "Try again."
            )
            return
    yield check_limits(portal)


def check_scopes(portal: Portal) -> Iterator[CheckResult]:
    """Every object can be read; what lacks a scope is told with its name."""
    lacking = False
    for needs, level in ((_NEEDED, CheckLevel.FAIL), (_USEFUL, CheckLevel.WARN)):
        for word, loss in needs.items():
            name = portal.mapping.object(word)
            try:
                portal.client.get("objects", name, Purpose.LOOK, {"limit": "1"})
            except ConfigurationError as error:
                lacking = True
                yield CheckResult(
                    code="HS-SCOPES",
                    level=level,
                    what=f"{name} cannot be read ({error.what.removesuffix('.')}): {loss}.",
                    do_next="Grant the scopes to the key.",
                )
    try:
        portal.owners(Purpose.LOOK)
    except ConfigurationError as error:
        lacking = True
        yield CheckResult(
            code="HS-SCOPES",
            level=CheckLevel.FAIL,
            what=f"owners cannot be read ({error.what.removesuffix('.')}), so nobody can be the sender.",
            do_next="Grant crm.objects.owners.read to the key.",
        )
    if not lacking:
        yield _ok("HS-SCOPES", "contacts, their timelines, companies, deals and owners can be read.")


def check_properties(portal: Portal, timeline: Timeline) -> Iterator[CheckResult]:
    """Every property of the mapping is there, and the keys take each value once."""
    missing: list[str] = []
    for word in ("contact", "control", *_TIMELINE):
        name = portal.mapping.object("contact" if word == "control" else word)
        if word in _TIMELINE:
            keyed = timeline.is_keyed(word, Purpose.LOOK)
            yield _ok("HS-TOUCH-ID", f"{name} know their touches by a key.") if keyed else _without_key(name)
            if not keyed:
                continue
        try:
            rows = {str(row["name"]): row for row in portal.client.get("properties", name, Purpose.LOOK).results}
        except ConfigurationError as error:
            yield CheckResult(
                code="HS-PROPERTIES",
                level=CheckLevel.WARN,
                what=f"it cannot be seen which properties {name} have ({error.what.removesuffix('.')}).",
                do_next="Make sure that those of the mapping are there.",
            )
            continue
        for ours, mapped in portal.mapping.fields[word].items():
            if mapped and mapped not in rows and ours not in _OPTIONAL and ours != "opted_out":
                missing.append(f"{name}.{mapped}")
        if word == "contact":
            yield _check_opt_out(portal, rows)
        if word == "control":
            yield from _check_control_key(portal, rows)
    if missing:
        yield CheckResult(
            code="HS-PROPERTIES",
            level=CheckLevel.FAIL,
            what=f"not there: {', '.join(missing)}.",
            do_next="Make these properties, or name yours in the mapping.",
        )
    else:
        yield _ok("HS-PROPERTIES", "every property of the mapping is there.")


def _without_key(name: str) -> CheckResult:
    return CheckResult(
        code="HS-TOUCH-ID",
        level=CheckLevel.WARN,
        what=f"{name} have no property with unique values for the touch id, so it stands at the end of their text, and"
        " each write first reads what stands there.",
        do_next="Make the property with unique values if the portal allows it, or leave it so.",
    )


def _check_opt_out(portal: Portal, rows: Mapping[str, Any]) -> CheckResult:
    name = portal.contacts.name("opted_out")
    if name in rows:
        return _ok("HS-OPTOUT-HIDDEN", "the opt-out property can be read.")
    return CheckResult(
        code="HS-OPTOUT-HIDDEN",
        level=CheckLevel.FAIL,
        what=f"the opt-out property {name} cannot be read.",
        do_next="Let the key read it, or correct [contact] opted_out in the mapping.",
    )


def _check_control_key(portal: Portal, rows: Mapping[str, Any]) -> Iterator[CheckResult]:
    """What keeps the control contact single."""
    key = portal.mapping.field("control", "key")
    if key in rows and not rows[key].get("hasUniqueValue"):
        yield CheckResult(
            code="HS-CONTROL",
            level=CheckLevel.FAIL,
            what=f"contacts.{key} may have one value several times, so the brake cannot be found by it.",
            do_next="Make the property again with unique values: that cannot be changed afterwards.",
        )


def check_sequences(portal: Portal) -> Iterator[CheckResult]:
    """They can be read, and files are TOML."""
    try:
        drafts = portal.definitions.drafts(Purpose.LOOK)
    except ConfigurationError as error:
        yield CheckResult(code="HS-SEQUENCES", level=CheckLevel.FAIL, what=str(error), do_next=error.do_next)
        return
    problems = [problem for draft in drafts.values() for problem in draft.problems]
    if problems:
        yield CheckResult(
            code="HS-SEQUENCES", level=CheckLevel.WARN, what=" ".join(problems), do_next="Correct the files."
        )
    else:
        place = portal.client.settings.sequences
        yield _ok("HS-SEQUENCES", f"{len(drafts)} sequences stand in {place or 'custom objects'}.")


def check_control(portal: Portal) -> Iterator[CheckResult]:
    """The contact with the emergency brake; the daemon makes it with its first heartbeat."""
    key = portal.mapping.field("control", "key")
    try:
        found = portal.read_contacts([portal.mapping.value("control", "key")], [key], Purpose.LOOK, key=key)
    except ConfigurationError as error:
        yield CheckResult(
            code="HS-CONTROL",
            level=CheckLevel.FAIL,
            what=f"the emergency brake cannot be read: {error.what}",
            do_next=f"Make the property {key} with unique values.",
        )
        return
    told = "can be read" if found else "is made when the daemon starts"
    yield _ok("HS-CONTROL", f"the contact with the emergency brake {told}.")


def check_limits(portal: Portal) -> CheckResult:
    """Enough API calls are left today to do more than stops."""
    budget, settings = portal.client.meter.budget(), portal.client.settings
    if budget.used is None or budget.limit is None:
        return CheckResult(
            code="HS-LIMITS", level=CheckLevel.WARN, what="the portal does not tell how many API calls are left today."
        )
    left = budget.limit - budget.used
    if left <= settings.reserve:
        return CheckResult(
            code="HS-LIMITS",
            level=CheckLevel.WARN,
            what=f"{left} of {budget.limit} API calls are left today; reporting waits, stops and last looks go on.",
            do_next="Find what else uses the portal's calls (Settings, Integrations, API usage), or lower reserve.",
        )
    return _ok("HS-LIMITS", f"{left} of {budget.limit} API calls are left today.")


def _ok(code: str, what: str) -> CheckResult:
    return CheckResult(code=code, level=CheckLevel.OK, what=what)
