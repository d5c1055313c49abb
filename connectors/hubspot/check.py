"""The doctor's checks of a HubSpot portal, each with a stable code. A handful of calls; writes nothing.

HS-LOGIN, HS-PORTAL, HS-VERSIONS, HS-SCOPES, HS-PROPERTIES, HS-OPTIONS, HS-OPTOUT-HIDDEN, HS-OWN-SEQUENCES, HS-TOUCH-ID,
HS-PREFERENCES, HS-SEQUENCES, HS-LISTS, HS-CONTROL, HS-WEBHOOKS, HS-LIMITS,
HS-CLOCK.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from connectors.hubspot.definitions import SequenceFolder
from connectors.hubspot.paths import ENDS
from connectors.hubspot.portal import RIGHT_PORTAL, Portal, wrong_portal
from connectors.hubspot.preferences import subscription_types
from connectors.hubspot.schema import OBJECT_OF, read_schema
from connectors.hubspot.scopes import check_scopes
from connectors.hubspot.source import HubSpotSource
from connectors.hubspot.timeline import Timeline
from connectors.hubspot.webhooks import HOOK_PATH
from crmdrip.core.errors import AuthError, ConfigurationError, CrmdripError
from crmdrip.ports import CheckLevel, CheckResult, Purpose
from crmdrip.ports.finding import fail, ok, warn

_CLOCK_SLACK = 120.0
"""Seconds between our clock and HubSpot's beyond which a person is told."""
_TIMELINE = ("email", "task", "note")
_OPTIONAL = frozenset(
    {"hard_bounce", "merged_stamps", "html", "headers", "away", "meeting_logged", "state", "country", "in_sequence"}
)


def check_portal(source: HubSpotSource) -> Iterator[CheckResult]:
    """Every check, in order. Stops early when the portal cannot be asked. Raises nothing."""
    portal = source.portal
    try:
        found = portal.ask_identity()
    except AuthError as error:
        refused = f"HubSpot does not accept the key: {error.what}"
        yield fail("HS-LOGIN", refused, error.do_next)
        return
    except CrmdripError as error:
        yield fail("HS-UNREACHABLE", error.problem, error.do_next or "Try again later.")
        return
    yield ok("HS-LOGIN", f"logged in to {found.name}.")
    if (what := wrong_portal(found, portal.client.settings.portal_id)) is not None:
        yield fail("HS-PORTAL", what, RIGHT_PORTAL)
    elif not portal.client.settings.portal_id:
        yield warn(
            "HS-PORTAL",
            f"{found.name} answers, and no portal_id is set: a sandbox of it would be mailed from as well.",
            f'Set portal_id = "{found.org_id}".',
        )
    else:
        yield ok("HS-PORTAL", f"{found.name} answers.")
    checks: tuple[Callable[[], Iterator[CheckResult]], ...] = (
        lambda: check_versions(portal),
        lambda: check_scopes(portal),
        lambda: check_properties(portal, source.timeline),
        lambda: check_preferences(portal),
        lambda: check_sequences(portal),
        lambda: check_lists(source),
        lambda: check_control(portal),
        lambda: check_webhooks(portal),
    )
    for check in checks:
        try:
            yield from check()
        except CrmdripError as error:
            yield fail("HS-UNREACHABLE", error.problem, error.do_next or "Try again.")
            return
    yield check_limits(portal)
    yield check_clock(portal)


def check_properties(portal: Portal, timeline: Timeline) -> Iterator[CheckResult]:
    """Every property of the mapping is there, and the keys take each value once."""
    missing: list[str] = []
    lacking: list[str] = []
    for word in ("contact", "control", *_TIMELINE):
        name = portal.mapping.object("contact" if word == "control" else word)
        if word in _TIMELINE:
            keyed = timeline.is_keyed(word, Purpose.LOOK)
            yield ok("HS-TOUCH-ID", f"{name} know their touches by a key.") if keyed else _without_key(name)
            if not keyed:
                continue
        try:
            rows = {str(row["name"]): row for row in portal.client.get("properties", name, Purpose.LOOK).results}
        except ConfigurationError as error:
            yield warn(
                "HS-PROPERTIES",
                f"it cannot be seen which properties {name} have ({error.what.removesuffix('.')}).",
                "Make sure that those of the mapping are there.",
            )
            continue
        for ours, mapped in portal.mapping.fields[word].items():
            if mapped and mapped not in rows and ours not in _OPTIONAL and ours != "opted_out":
                missing.append(f"{name}.{mapped}")
        if word == "contact":
            yield from _check_opt_out(portal, rows)
            yield from _check_own_sequences(portal, rows)
        if word == "control":
            yield from _check_control_key(portal, rows)
        lacking += _lacking_options(portal, word, rows)
    if lacking:
        yield fail(
            "HS-OPTIONS",
            f"{'; '.join(lacking)}.",
            "Type crmdrip install hubspot, which adds them, or add them in Settings, Properties.",
        )
    else:
        yield ok("HS-OPTIONS", "the properties to choose from have every option.")
    if missing:
        yield fail(
            "HS-PROPERTIES", f"not there: {', '.join(missing)}.", "Type crmdrip install, or name yours in the mapping."
        )
    else:
        yield ok("HS-PROPERTIES", "every property of the mapping is there.")


def _lacking_options(portal: Portal, word: str, rows: Mapping[str, Any]) -> Iterator[str]:
    """What a property to choose from does not offer of what is written there."""
    name = portal.mapping.object(OBJECT_OF.get(word, word))
    for spec in read_schema(portal.mapping).properties.get(name, ()):
        row = rows.get(spec.name)
        if row is None or not spec.options or row.get("type") != "enumeration" or not spec.word.startswith(f"{word}."):
            continue
        there = {str(one.get("value")) for one in row.get("options") or ()}
        if gone := [value for value in spec.options if value not in there]:
            yield f"{name}.{spec.name} lacks {', '.join(gone)}"


def _without_key(name: str) -> CheckResult:
    return warn(
        "HS-TOUCH-ID",
        f"{name} have no property with unique values for the touch id, so it stands at the end of their text, and"
        " each write first reads what stands there.",
        "Type crmdrip install, which makes it where the portal allows that, or leave it so.",
    )


def _check_opt_out(portal: Portal, rows: Mapping[str, Any]) -> Iterator[CheckResult]:
    hidden = [name for name in portal.contacts.opt_outs if name not in rows]
    if not hidden:
        yield ok("HS-OPTOUT-HIDDEN", "it can be read who opted out.")
    for name in hidden:
        yield fail(
            "HS-OPTOUT-HIDDEN",
            f"the opt-out property {name} cannot be read.",
            "Let the key read it, or correct [contact] opted_out in the mapping or [crm.hubspot] subscription_type.",
        )


def _check_own_sequences(portal: Portal, rows: Mapping[str, Any]) -> Iterator[CheckResult]:
    """Whoever is in one of HubSpot's own sequences is seen, where that is to matter."""
    name = portal.contacts.name("in_sequence")
    if not name:
        return
    if name in rows:
        yield ok("HS-OWN-SEQUENCES", "it can be read who is in one of HubSpot's own sequences.")
        return
    yield warn(
        "HS-OWN-SEQUENCES",
        f"contacts have no {name}, so nobody sees who is in one of HubSpot's own sequences.",
        'If the portal has no such sequences, set on_own_sequence = "ignore".',
    )


def check_preferences(portal: Portal) -> Iterator[CheckResult]:
    """The subscription type our emails belong to is one of the portal's."""
    try:
        types = subscription_types(portal, Purpose.LOOK)
    except ConfigurationError:
        return  # told with the scopes
    ours = portal.client.settings.subscription_type
    listed = ", ".join(f"{number} ({name})" for number, name in sorted(types.items())) or "none"
    if not ours:
        yield warn(
            "HS-PREFERENCES",
            "no subscription_type is set: whoever opted out of one type of email, and not of all, is mailed.",
            f"Set subscription_type to the one our emails belong to. There are {listed}.",
        )
    elif ours not in types:
        yield fail(
            "HS-PREFERENCES",
            f"the portal has no subscription type {ours}.",
            f"Set subscription_type to one of {listed}.",
        )
    else:
        yield ok("HS-PREFERENCES", f"our emails belong to {types[ours]} ({ours}): whoever opted out of it gets none.")


def check_versions(portal: Portal) -> Iterator[CheckResult]:
    """No API version is called that ends soon."""
    old = {family: one for family, one in portal.client.settings.versions.items() if one in ENDS}
    if not old:
        yield ok("HS-VERSIONS", "every API is called by a dated version.")
    for family, version in sorted(old.items()):
        yield warn(
            "HS-VERSIONS",
            f"{family} is called by {version}, which HubSpot supports until {ENDS[version]}.",
            f"Remove {family} from versions.",
        )


def check_lists(source: HubSpotSource) -> Iterator[CheckResult]:
    """The lists that sequences name are there; whether sequences can be read is told by check_sequences."""
    try:
        found = source.lists.examine(Purpose.LOOK)
    except ConfigurationError:
        return
    for sequence, problem in sorted(found.problems.items()):
        yield CheckResult(code="HS-LISTS", level=CheckLevel.FAIL, what=f"{sequence}: {problem}")
    if found.states and not found.problems:
        yield ok("HS-LISTS", f"followed: {', '.join(sorted(found.states, key=int))}.")


def check_webhooks(portal: Portal) -> Iterator[CheckResult]:
    """HubSpot posts to where the door answers."""
    url = portal.client.settings.webhook_url
    if url and not url.endswith(HOOK_PATH):
        yield warn(
            "HS-WEBHOOKS",
            f"{url} is not where changes are taken.",
            f"Set webhook_url to [web] public_url followed by {HOOK_PATH}, and the app's target to the same.",
        )


def _check_control_key(portal: Portal, rows: Mapping[str, Any]) -> Iterator[CheckResult]:
    """What keeps the control contact single."""
    key = portal.mapping.field("control", "key")
    if key in rows and not rows[key].get("hasUniqueValue"):
        yield fail(
            "HS-CONTROL",
            f"contacts.{key} may have one value several times, so the brake cannot be found by it.",
            "Make the property again with unique values: that cannot be changed afterwards.",
        )


def check_sequences(portal: Portal) -> Iterator[CheckResult]:
    """They can be read, and files are TOML."""
    try:
        drafts = portal.definitions.drafts(Purpose.LOOK)
    except ConfigurationError as error:
        yield fail("HS-SEQUENCES", error.problem, error.do_next)
        return
    if isinstance(portal.definitions, SequenceFolder) and (strays := portal.definitions.strays()):
        yield warn(
            "HS-SEQUENCES",
            f"not read, since a file's name is its sequence's id: {', '.join(strays)}.",
            "Rename them with letters, digits, _ and - alone, such as warm-intro.toml.",
        )
    problems = [problem for draft in drafts.values() for problem in draft.problems]
    if problems:
        yield warn("HS-SEQUENCES", " ".join(problems), "Correct the files.")
    else:
        place = portal.client.settings.sequences
        yield ok("HS-SEQUENCES", f"{len(drafts)} sequences stand in {place or 'custom objects'}.")


def check_control(portal: Portal) -> Iterator[CheckResult]:
    """The contact with the emergency brake; the daemon makes it with its first heartbeat."""
    key = portal.mapping.field("control", "key")
    try:
        found = portal.read_contacts([portal.mapping.value("control", "key")], [key], Purpose.LOOK, key=key)
    except ConfigurationError as error:
        yield fail(
            "HS-CONTROL",
            f"the emergency brake cannot be read: {error.what}",
            f"Type crmdrip install, which makes the property {key}.",
        )
        return
    told = "can be read" if found else "is made when the daemon starts"
    yield ok("HS-CONTROL", f"the contact with the emergency brake {told}.")


def check_limits(portal: Portal) -> CheckResult:
    """Enough API calls are left today to do more than stops."""
    budget, settings = portal.client.meter.budget(), portal.client.settings
    if budget.used is None or budget.limit is None:
        return CheckResult(
            code="HS-LIMITS", level=CheckLevel.WARN, what="the portal does not tell how many API calls are left today."
        )
    left = budget.limit - budget.used
    if left <= settings.reserve:
        return warn(
            "HS-LIMITS",
            f"{left} of {budget.limit} API calls are left today; reporting waits, stops and last looks go on.",
            "Find what else uses the portal's calls (Settings, Integrations, API usage), or lower reserve.",
        )
    return ok("HS-LIMITS", f"{left} of {budget.limit} API calls are left today.")


def check_clock(portal: Portal) -> CheckResult:
    """Our clock and HubSpot's agree, by the answers to the checks before."""
    skew = portal.client.ahead.total_seconds()
    if abs(skew) <= _CLOCK_SLACK:
        return ok("HS-CLOCK", "this machine's clock agrees with HubSpot's.")
    return warn(
        "HS-CLOCK",
        f"this machine's clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} HubSpot's.",
        "Switch on time synchronization.",
    )
