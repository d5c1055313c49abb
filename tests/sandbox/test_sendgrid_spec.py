"""The stand-in beside the vendor's own OpenAPI files: same keys, same types, same required fields."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import orjson
import pytest
from sendgrid_request import Desk, message

from crmdrip.sandbox.sendgrid import message as rules

SPECS = Path(os.environ.get("CRMDRIP_SPECS", Path(__file__).parents[3] / "shared" / "specs")) / "sendgrid"

TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}


def load(name: str) -> dict[str, Any]:
    path = SPECS / name
    if not path.exists():
        pytest.skip("the vendor's OpenAPI files are not here; point CRMDRIP_SPECS at them")
    return dict(orjson.loads(path.read_bytes()))


def resolve(spec: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        target: Any = spec
        for part in schema["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        schema = {**{key: value for key, value in schema.items() if key != "$ref"}, **target}
    return schema


def violations(spec: dict[str, Any], schema: dict[str, Any], value: Any, path: str = "$") -> list[str]:
    """Where a value departs from a schema: wrong types, missing fields, fields the schema does not know."""
    schema = resolve(spec, schema)
    if "discriminator" in schema:
        return violations(spec, {"$ref": schema["discriminator"]["mapping"][value["event"]]}, value, path)
    kinds = schema.get("type", [])
    allowed = [kind for name in ([kinds] if isinstance(kinds, str) else kinds) for kind in TYPES.get(name, ())]
    if value is None:
        return [] if schema.get("nullable") else [f"{path} is null"]
    if allowed and type(value) not in allowed:
        return [f"{path} is {type(value).__name__}"]
    if "enum" in schema and value not in schema["enum"]:
        return [f"{path} is {value!r}"]
    found: list[str] = []
    if isinstance(value, list):
        for number, item in enumerate(value):
            found += violations(spec, schema.get("items", {}), item, f"{path}[{number}]")
    if isinstance(value, dict) and "properties" in schema:
        found += [f"{path}.{key} is missing" for key in schema.get("required", ()) if key not in value]
        for key, item in value.items():
            if key in schema["properties"]:
                found += violations(spec, schema["properties"][key], item, f"{path}.{key}")
            else:
                found.append(f"{path}.{key} is not known")
    return found


def answer_schema(spec: dict[str, Any], path: str, method: str, status: int) -> dict[str, Any]:
    answer = resolve(spec, spec["paths"][path][method]["responses"][str(status)])
    return dict(answer["content"]["application/json"]["schema"])


def test_a_message_may_have_the_keys_the_vendor_knows_and_no_others() -> None:
    """The keys of a message, a personalization and the settings are those of the specification."""
    spec = load("tsg_mail_v3.json")
    body = spec["components"]["requestBodies"]["PostMailSend"]["content"]["application/json"]["schema"]
    known = body["properties"]
    settings = {
        group: {name: set(setting["properties"]) for name, setting in known[group]["properties"].items()}
        for group in ("mail_settings", "tracking_settings")
    }
    assert set(known) == rules.MESSAGE_KEYS
    assert set(known["personalizations"]["items"]["properties"]) == rules.PERSONALIZATION_KEYS
    assert settings == {group: dict(names) for group, names in rules.SETTINGS.items()}


def test_limits_are_the_published_ones() -> None:
    """Personalizations, categories and the pool name are limited as the specification says."""
    known = load("tsg_mail_v3.json")["components"]["requestBodies"]["PostMailSend"]["content"]["application/json"][
        "schema"
    ]["properties"]
    assert known["personalizations"]["maxItems"] == rules.MAX_PERSONALIZATIONS
    assert (known["categories"]["maxItems"], known["categories"]["items"]["maxLength"]) == (10, 255)
    assert (known["ip_pool_name"]["minLength"], known["ip_pool_name"]["maxLength"]) == (2, 64)


def test_a_log_search_and_a_log_entry_have_the_published_shape() -> None:
    """Rows, details and every kind of event agree with their schemas."""
    spec = load("tsg_logs_v3.json")
    desk = Desk()
    desk.account.suppressions.add("spam_reports", "dropped@example.com")
    for name in ("delivered", "bounced", "blocked", "dropped"):
        desk.send(message(to=f"{name}@example.com", categories=["a0X"]))
    desk.account.bounce("bounced@example.com")
    desk.account.block("blocked@example.com")
    rows = orjson.loads(desk.ask("POST", "/v3/logs", {"query": ""}).body)
    found = violations(spec, answer_schema(spec, "/v3/logs", "post", 200), rows)
    for row in rows["messages"]:
        entry = orjson.loads(desk.ask("GET", f"/v3/logs/{row['sg_message_id']}").body)
        found += violations(spec, answer_schema(spec, "/v3/logs/{sg_message_id}", "get", 200), entry)
    assert (len(rows["messages"]), found) == (4, [])


@pytest.mark.parametrize(
    ("asked", "path", "method", "body", "status"),
    [
        ("/v3/suppression/bounces", "/v3/suppression/bounces", "get", None, 200),
        ("/v3/suppression/bounces/a@x.example", "/v3/suppression/bounces/{email}", "get", None, 200),
        ("/v3/suppression/blocks", "/v3/suppression/blocks", "get", None, 200),
        ("/v3/suppression/invalid_emails", "/v3/suppression/invalid_emails", "get", None, 200),
        ("/v3/suppression/spam_reports", "/v3/suppression/spam_reports", "get", None, 200),
        ("/v3/suppression/unsubscribes", "/v3/suppression/unsubscribes", "get", None, 200),
        (
            "/v3/asm/suppressions/global",
            "/v3/asm/suppressions/global",
            "post",
            {"recipient_emails": ["a@x.example"]},
            201,
        ),
        ("/v3/asm/suppressions/global/a@x.example", "/v3/asm/suppressions/global/{email}", "get", None, 200),
        ("/v3/asm/suppressions/a@x.example", "/v3/asm/suppressions/{email}", "get", None, 200),
        ("/v3/asm/suppressions", "/v3/asm/suppressions", "get", None, 200),
        ("/v3/asm/groups", "/v3/asm/groups", "get", None, 200),
        ("/v3/asm/groups/20001/suppressions", "/v3/asm/groups/{group_id}/suppressions", "get", None, 200),
    ],
)
def test_suppressions_have_the_published_shape(asked: str, path: str, method: str, body: object, status: int) -> None:
    """Every list and lookup answers what its schema says."""
    spec = load("tsg_suppressions_v3.json")
    desk = Desk()
    desk.account.suppressions.join(desk.account.suppressions.add_group("News", "Monthly news").id, "a@x.example")
    for name in ("bounces", "blocks", "invalid_emails", "spam_reports", "unsubscribes"):
        desk.account.suppressions.add(name, "a@x.example", reason="550 5.1.1 no", status="5.1.1", ip="127.0.0.1")
    response = desk.ask(method.upper(), asked, body)
    assert response.status == status
    assert violations(spec, answer_schema(spec, path, method, status), orjson.loads(response.body)) == []


def test_the_list_of_scopes_has_the_published_shape() -> None:
    """GET /v3/scopes answers a list of names."""
    spec = load("tsg_scopes_v3.json")
    body = orjson.loads(Desk().ask("GET", "/v3/scopes").body)
    assert violations(spec, answer_schema(spec, "/v3/scopes", "get", 200), body) == []


def test_webhook_settings_have_the_published_shape() -> None:
    """What the settings of events and of inbound mail answer, created, signed, shown and listed."""
    spec = load("tsg_webhooks_v3.json")
    desk, found = Desk(), []
    base = "/v3/user/webhooks"

    def ask(asked: str, path: str, method: str, status: int, body: object = None) -> dict[str, Any]:
        response = desk.ask(method.upper(), base + asked, body)
        assert response.status == status, response.body
        value = orjson.loads(response.body)
        found.extend(violations(spec, answer_schema(spec, base + path, method, status), value, path))
        return dict(value)

    settings = {"enabled": True, "url": "http://127.0.0.1:9/e", "bounce": True, "friendly_name": "crmdrip"}
    webhook = ask("/event/settings", "/event/settings", "post", 201, settings)["id"]
    one = "/event/settings/signed/{id}"
    ask(f"/event/settings/signed/{webhook}", one, "patch", 200, {"enabled": True})
    ask(f"/event/settings/signed/{webhook}", one, "get", 200)
    ask(f"/event/settings/{webhook}", "/event/settings/{id}", "get", 200)
    ask(f"/event/settings/{webhook}", "/event/settings/{id}", "patch", 200, {"open": True})
    ask("/event/settings/all", "/event/settings/all", "get", 200)
    host = {"hostname": "reply.acme.example", "url": "http://127.0.0.1:9/m", "spam_check": False, "send_raw": True}
    ask("/parse/settings", "/parse/settings", "post", 201, host)
    ask("/parse/settings", "/parse/settings", "get", 200)
    ask("/parse/settings/reply.acme.example", "/parse/settings/{hostname}", "get", 200)
    policy = {"name": "crmdrip", "signature": {"enabled": True}}
    policies = "/security/policies"
    policy_id = ask(policies, policies, "post", 201, policy)["policy"]["id"]
    ask(policies, policies, "get", 200)
    assert found == []
    assert policy_id
