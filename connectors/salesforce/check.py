"""The doctor's checks of a Salesforce org, each with a stable code. A handful of calls; writes nothing.

SF-LOGIN, SF-ORG, SF-FIELDS, SF-TYPES, SF-VALUES, SF-SEARCH, SF-OPTOUT-HIDDEN, SF-WRITE, SF-TOUCH-ID, SF-TASKS,
SF-LIMITS, SF-CONTROL, SF-SIGNALS, SF-CLOCK; SF-PERSON-ACCOUNTS where there are such. Those of probe.py are made on
request alone.
"""

from __future__ import annotations

from collections.abc import Iterator

from connectors.salesforce.blueprint import load_names, read_mapped, stand_in
from connectors.salesforce.org import RIGHT_ORG, describe_org, wrong_org
from connectors.salesforce.schema import PERMISSION_SET, REQUIRED, ObjectInfo, Schema
from connectors.salesforce.settings import SalesforceSettings
from connectors.salesforce.signals import open_streams
from connectors.salesforce.source import SalesforceSource
from crmdrip.core.errors import AuthError, ConfigurationError, CrmdripError
from crmdrip.ports import CheckLevel, CheckResult
from crmdrip.ports.finding import fail, ok, warn

_CLOCK_SLACK = 120.0
"""Seconds between our clock and the org's beyond which a person is told."""

_WRITTEN = (
    "status",
    "reason",
    "step",
    "next_touch",
    "last_touch",
    "run",
    "enrolled",
    "out_of_office_until",
    "replied_at",
)
_STOPS = ("opted_out", "bounced_reason", "bounced_at")

_SIGNALS = {
    "meetings": ("Event", "meetings that reps book do not stop a run"),
    "opportunities": ("OpportunityContactRole", "new opportunities do not stop a run"),
    "replies": ("EmailMessage", "replies logged in Salesforce are not seen; replies are still found by mail"),
    "finished_tasks": ("Task", "it is not seen when a rep finishes a task step"),
}


def check_org(source: SalesforceSource, settings: SalesforceSettings) -> Iterator[CheckResult]:
    """Every check, in order. Stops early when the org cannot be asked. Raises nothing."""
    try:
        schema = source.org.read_schema()
    except AuthError as error:
        yield fail("SF-LOGIN", error.what, error.do_next)
        return
    except ConfigurationError as error:
        yield fail("SF-SETTINGS", error.problem, error.do_next)
        return
    except CrmdripError as error:
        yield fail("SF-UNREACHABLE", error.problem, error.do_next or "Try again later.")
        return
    yield ok("SF-LOGIN", f"logged in to {source.org.client.token.host} with API version {settings.api_version}.")
    yield check_identity(schema, settings)
    yield check_fields(schema)
    yield check_types(schema)
    yield check_values(schema)
    yield check_search(schema)
    if schema.has("contact"):  # else SF-FIELDS has said all there is to say
        yield check_opt_out(schema)
        yield from check_person_accounts(schema)
    yield check_writable(schema)
    yield check_touch_id(schema)
    if (task := schema.objects.get("task")) is not None:
        yield check_tasks(schema, task)
    yield check_limits(source, settings)
    yield check_control(schema)
    if source.org.client.skew is not None:
        yield check_clock(source.org.client.skew)
    yield from check_signals(schema)


def check_identity(schema: Schema, settings: SalesforceSettings) -> CheckResult:
    """The org is the one that may be mailed from: a sandbox copy has an id of its own (B25)."""
    found = schema.identity
    label = describe_org(found)
    if not settings.org_id:
        return warn(
            "SF-ORG",
            f"{label} answers, and no org_id is set: a sandbox copy of this org would be mailed from as well.",
            f'Set org_id = "{found.org_id}".',
        )
    if (what := wrong_org(found, settings.org_id)) is not None:
        return fail("SF-ORG", what, RIGHT_ORG)
    return ok("SF-ORG", f"{label} answers.")


def check_fields(schema: Schema) -> CheckResult:
    """Every object and field that nothing works without can be read."""
    words = ("contact", "sequence", "step", "control", "task", "user")
    gaps = [gap for word in words for gap in schema.missing(word)]
    if schema.has("lead"):
        gaps += schema.missing("lead")
    if gaps:
        return fail(
            "SF-FIELDS",
            f"not there or hidden from the connected user: {', '.join(gaps)}.",
            f"Type crmdrip install salesforce, or assign the permission set {PERMISSION_SET} to it.",
        )
    return ok("SF-FIELDS", "every object and field of the mapping can be read.")


def check_types(schema: Schema) -> CheckResult:
    """Every field is of a type and a length that what is written there fits into."""
    wrong = [
        f"{field.own} {problem}"
        for field in read_mapped(schema)
        for problem in stand_in(field.spec, field.found)
        if "external ID" not in problem  # SF-TOUCH-ID says more about that
    ]
    if wrong:
        return fail(
            "SF-TYPES",
            f"{'; '.join(wrong)}.",
            "Map another field (crmdrip map), or change its type in Setup, Object Manager.",
        )
    return ok("SF-TYPES", "every field that can be seen is of the type and length that is needed.")


def check_values(schema: Schema) -> CheckResult:
    """Restricted picklists take every value that is written there or means something."""
    gaps = []
    for field in read_mapped(schema):
        words = schema.mapping.values.get(field.word, {})
        ours = load_names().values.get(field.word, {})
        own = {value: words.get(word, value) for word, value in ours.items()}
        missing = [value for one in field.spec.values if (value := own.get(one, one)) not in field.found.values]
        if field.found.restricted and missing:
            gaps.append(f"{field.own} lacks {', '.join(missing)}")
    if gaps:
        return fail(
            "SF-VALUES",
            f"{'; '.join(gaps)}.",
            "Add the values in Setup, Object Manager, or type crmdrip install salesforce, which adds them.",
        )
    return ok("SF-VALUES", "the picklists that can be seen have every value.")


def check_search(schema: Schema) -> CheckResult:
    """People can be found by their address, which tells who has two records, and whose an answer is (B6, B13)."""
    sealed = [
        f"{info.name}.{found.name}"
        for kind in schema.kinds()
        if (info := schema.objects[kind.value])
        and (found := info.find(schema.mapping.field(kind.value, "email"))) is not None
        and not found.filterable
    ]
    if sealed:
        return fail(
            "SF-SEARCH",
            f"{' and '.join(sealed)} cannot be searched (Shield encryption), so nobody is found by address.",
            "Setup, Encryption Policy: choose the deterministic scheme (case insensitive), and encrypt anew.",
        )
    return ok("SF-SEARCH", "people can be found by their address.")


def check_opt_out(schema: Schema) -> CheckResult:
    """The opt-out field can be read: field-level security hides it by default (B26)."""
    try:
        schema.demand_opt_out()
    except ConfigurationError as error:
        return fail("SF-OPTOUT-HIDDEN", error.what, error.do_next)
    return ok("SF-OPTOUT-HIDDEN", "the opt-out field can be read.")


def check_person_accounts(schema: Schema) -> Iterator[CheckResult]:
    """Where accounts may be people, their contacts can be changed: that takes edit access to accounts as well."""
    if schema.objects["contact"].find("IsPersonAccount") is None:
        return
    account = schema.objects.get("account")
    if account is not None and account.updateable:
        yield ok("SF-PERSON-ACCOUNTS", "person accounts can be changed.")
        return
    yield warn(
        "SF-PERSON-ACCOUNTS",
        "the org has person accounts; without Edit on Accounts their status cannot be written.",
        "Grant it Edit on Accounts by a permission set of your own, or tick no person account.",
    )


def check_writable(schema: Schema) -> CheckResult:
    """The fields that show people what happens can be written, and so can opt-out and bounce."""
    gaps: list[str] = []
    for kind in schema.kinds():
        info = schema.objects[kind.value]
        for word in (*_WRITTEN, *_STOPS):
            mapped = schema.mapping.fields[kind.value].get(word, "")
            found = info.find(mapped) if mapped else None
            if mapped and (found is None or not found.updateable):
                gaps.append(f"{info.name}.{mapped}")
    if task := schema.objects.get("task"):
        for word in REQUIRED["task"]:
            mapped = schema.mapping.field("task", word)
            found = task.find(mapped)
            if found is None or not found.createable:
                gaps.append(f"{task.name}.{mapped}")
    made = [schema.objects[word] for word in ("task", *(() if schema.control_id else ("control",))) if schema.has(word)]
    gaps += [f"new records of {info.name}" for info in made if not info.createable]
    if gaps:
        return fail(
            "SF-WRITE",
            f"the connected user may not write {', '.join(gaps)}.",
            f"Assign the permission set {PERMISSION_SET}, or grant edit access to these fields.",
        )
    return ok("SF-WRITE", "status, tasks, opt-outs and bounces can be written.")


def check_touch_id(schema: Schema) -> CheckResult:
    """The touch id on tasks is an external id and unique: that is what keeps a retried write single."""
    task = schema.objects.get("task")
    mapped = schema.mapping.field("task", "touch_id")
    found = task.find(mapped) if task is not None else None
    if found is None or not (found.unique and found.external_id):
        return fail(
            "SF-TOUCH-ID",
            f"Task.{mapped} is not a unique external id, so a retried write could make a second task.",
            "Type crmdrip install salesforce, or tick External ID and Unique on the field in Setup.",
        )
    return ok("SF-TOUCH-ID", f"Task.{mapped} is a unique external id.")


def check_tasks(schema: Schema, task: ObjectInfo) -> CheckResult:
    """A touch gets everything that this org demands of a task, and the statuses and types that it knows."""
    ours = {name.lower() for name in schema.mapping.fields["task"].values()}
    given = {name.lower() for name in schema.constants("task")}
    demanded = [
        f"{task.name}.{one.name}" for low, one in task.fields.items() if one.required and low not in ours | given
    ]
    if demanded:
        return fail(
            "SF-TASKS",
            f"every task needs a value that crmdrip does not give, so none is logged: {', '.join(demanded)}.",
            "Give the field a default value in Setup, or a value under [values.new_task] in the mapping.",
        )
    found = {name: task.find(name) for name in schema.constants("task")}
    if unknown := [name for name, one in found.items() if one is None or not one.createable]:
        return warn(
            "SF-TASKS",
            f"[values.new_task] names what is not there or cannot be written: {', '.join(unknown)}.",
            "Correct the name, or grant edit access to the field.",
        )
    value = schema.mapping.value
    wanted = {"status": (schema.done_status, value("task", "open")), "type": (value("task", "email_type"),)}
    lacks = [
        f"{task.name}.{one.name} has no {text}"
        for word, texts in wanted.items()
        if (one := task.find(schema.mapping.field("task", word))) is not None and one.values
        for text in texts
        if text not in one.values
    ]
    if lacks:
        return warn(
            "SF-TASKS",
            f"{'; '.join(lacks)}.",
            "Name the org's own words under [values.task] in the mapping (done, open, email_type).",
        )
    return ok("SF-TASKS", "a task of crmdrip has all that the org demands.")


def check_limits(source: SalesforceSource, settings: SalesforceSettings) -> CheckResult:
    """Enough API calls are left today to do more than stops."""
    budget = source.budget()
    if budget.used is None or budget.limit is None:
        return CheckResult(
            code="SF-LIMITS", level=CheckLevel.WARN, what="the org does not tell how many API calls are left."
        )
    left = budget.limit - budget.used
    if left <= settings.reserve:
        return warn(
            "SF-LIMITS",
            f"{left} of {budget.limit} API calls are left today; reporting waits, stops and last looks go on.",
            "Find what else uses the org's calls (Setup, API Usage), or lower reserve.",
        )
    return ok("SF-LIMITS", f"{left} of {budget.limit} API calls are left today.")


def check_control(schema: Schema) -> CheckResult:
    """The record with the emergency brake is there; the daemon makes it with its first heartbeat."""
    if not schema.has("control"):
        return warn(
            "SF-CONTROL",
            "there is no control object, so nobody can pull the emergency brake from Salesforce.",
            "Type crmdrip install salesforce.",
        )
    if schema.control_id is None:
        return ok("SF-CONTROL", "there is no control record yet; the daemon makes it when it starts.")
    return ok("SF-CONTROL", "the emergency brake can be read.")


def check_signals(schema: Schema) -> Iterator[CheckResult]:
    """What stops a run by itself, and what this org cannot tell."""
    seen = {stream.name for stream in open_streams(schema)}
    for name, (object_name, loss) in _SIGNALS.items():
        if name in seen:
            yield ok("SF-SIGNALS", f"{object_name} can be read.")
        else:
            yield warn(
                "SF-SIGNALS",
                f"{object_name} cannot be read: {loss}.",
                f"Grant read access to {object_name}, or leave it so.",
            )


def check_clock(skew: float) -> CheckResult:
    """Our clock and the org's agree. skew: seconds that ours is ahead."""
    if abs(skew) > _CLOCK_SLACK:
        return warn(
            "SF-CLOCK",
            f"this machine's clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} Salesforce's.",
            "Switch on time synchronization.",
        )
    return ok("SF-CLOCK", "this machine's clock agrees with Salesforce's.")
