"""What the key may do, asked one operation after another, since HubSpot names the scopes that an operation lacks.

A token does not tell its own scopes alike for service keys, private apps and project apps, and a refusal does: it comes
before anything of the request is looked at, so that writing to a record that is not there asks for the right to write.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from connectors.hubspot.client import TRACE, segment
from connectors.hubspot.faults import MissingScopesError
from connectors.hubspot.lists import read_lists
from connectors.hubspot.objects import SequenceObjects
from connectors.hubspot.portal import Portal
from crmdrip.core.errors import ConfigurationError
from crmdrip.ports import CheckLevel, CheckResult, Purpose

_NOBODY = "0"
"""An id that no record has."""
_NO_ADDRESS = "nobody@crmdrip.invalid"
_NO_TYPE = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class _Need:
    """One thing the key has to be able to do."""

    what: str
    """As a clause that ends in a participle: "contacts cannot be read"."""
    loss: str
    ask: Callable[[], object]
    level: CheckLevel = CheckLevel.FAIL


def check_scopes(portal: Portal) -> Iterator[CheckResult]:
    """What the key may not do, each with its scopes. Raises as the client, but for scopes that are missing."""
    lacking = False
    for need in _needs(portal):
        try:
            need.ask()
        except MissingScopesError as error:
            lacking = True
            grant = f"Grant the key {', '.join(error.scopes)}."
            yield CheckResult(code="HS-SCOPES", level=need.level, what=f"{need.what}: {need.loss}.", do_next=grant)
        except ConfigurationError as error:
            lacking = True
            what = f"{need.what} ({error.what.removesuffix('.')}): {need.loss}."
            yield CheckResult(code="HS-SCOPES", level=need.level, what=what, do_next="Grant the key the right to it.")
    if not lacking:
        yield CheckResult(code="HS-SCOPES", level=CheckLevel.OK, what="the key may do everything that is wanted of it.")


def _needs(portal: Portal) -> Iterator[_Need]:
    settings, client, name = portal.client.settings, portal.client, portal.mapping.object

    def read(word: str) -> Callable[[], object]:
        return lambda: client.get("objects", name(word), Purpose.LOOK, {"limit": "1"})

    def write(kind: str) -> Callable[[], object]:
        body = {"inputs": [{"id": _NOBODY, "properties": {}, TRACE: "0"}]}
        return lambda: client.change("POST", "objects", f"{kind}/batch/update", body, purpose=Purpose.LOOK)

    for word, loss in (
        ("contact", "nobody can be read"),
        ("email", "what was sent cannot be logged, nor answers be read"),
        ("task", "tasks for reps cannot be made"),
        ("note", "notes cannot be made"),
    ):
        yield _Need(what=f"{name(word)} cannot be read", loss=loss, ask=read(word))
    yield _Need(what="contacts cannot be written", loss="no record says what happens", ask=write(name("contact")))
    yield _Need(what="emails cannot be written", loss="what was sent cannot be logged", ask=write(name("email")))
    for word, loss, wanted in (
        ("meeting", "meetings that reps book do not stop a run", False),
        ("deal", "new deals do not stop a run, and nothing stands on deals", settings.log_on_deal),
        ("company", "merge fields of the company are not known", False),
    ):
        level = CheckLevel.FAIL if wanted else CheckLevel.WARN
        yield _Need(what=f"{name(word)} cannot be read", loss=loss, ask=read(word), level=level)
    if settings.log_on_company:
        yield _Need(
            what="companies cannot be written", loss="nothing stands on their timelines", ask=write(name("company"))
        )
    yield _Need(what="owners cannot be read", loss="nobody can be the sender", ask=lambda: portal.owners(Purpose.LOOK))
    yield _Need(
        what="the properties of contacts cannot be read",
        loss="merge fields and stop conditions are not known",
        ask=lambda: client.get("properties", name("contact"), Purpose.LOOK),
    )
    yield _Need(
        what="communication preferences cannot be written",
        loss="whoever unsubscribes is not opted out in HubSpot",
        ask=lambda: _opt_nobody_out(portal),
    )
    yield _Need(
        what="communication preferences cannot be read",
        loss="it is not known which types of email there are",
        ask=lambda: client.get("preferences", "definitions", Purpose.LOOK),
        level=CheckLevel.WARN,
    )
    definitions = portal.definitions
    if isinstance(definitions, SequenceObjects):
        yield _Need(
            what="sequences cannot be written",
            loss="their version, error and counts are not shown",
            ask=write(definitions.type_of("sequence")),
            level=CheckLevel.WARN,
        )
    yield _Need(
        what="lists cannot be read", loss="nobody joins the sequences that name one", ask=lambda: _ask_lists(portal)
    )


def _opt_nobody_out(portal: Portal) -> None:
    """Of a subscription type that there is not, by an address that nobody can have: refused whatever the key may do."""
    body = {"subscriptionId": _NO_TYPE, "statusState": "UNSUBSCRIBED", "channel": "EMAIL"}
    path = f"statuses/{segment(_NO_ADDRESS)}"
    portal.client.change("POST", "preferences", path, body, purpose=Purpose.LOOK)


def _ask_lists(portal: Portal) -> None:
    """Where a sequence names a list; whether sequences can be read is told by HS-SEQUENCES."""
    try:
        wanted, _ = read_lists(portal.definitions.known(Purpose.LOOK))
    except ConfigurationError:
        return
    if wanted:
        portal.client.ask("lists", "search", {"listIds": sorted(wanted.values()), "count": 1}, Purpose.LOOK)
