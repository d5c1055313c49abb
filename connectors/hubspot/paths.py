"""Which version of which API is called, in one place: HubSpot ends v4 on 2027-03-30, v1 to v3 in September 2027.

The date stands behind the family's name, a v-number before it (docs: developer-tooling/platform/versioning):
/crm/v3/objects/contacts became /crm/objects/2026-09/contacts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

VERSION = re.compile(r"v\d|\d{4}-\d{2}")

FAMILIES: Mapping[str, tuple[str, str, str]] = MappingProxyType(
    {
        "objects": ("/crm", "/objects", "2026-09"),
        "properties": ("/crm", "/properties", "2026-09"),
        "schemas": ("/crm-object-schemas", "", "2026-03"),
        "owners": ("/crm", "/owners", "2026-09"),
        "associations": ("/crm", "/associations", "2026-03"),
        "preferences": ("/communication-preferences", "", "2026-09"),
        "lists": ("/crm", "/lists", "2026-03"),
        "account": ("/account-info", "", "2026-03"),
        "oauth": ("/oauth", "", "2026-03"),
    }
)
"""Area, family and the version called. Associations and schemas are documented for 2026-03 only."""


NUMBERED: Mapping[str, str] = MappingProxyType(
    {
        "objects": "v3",
        "properties": "v3",
        "schemas": "v3",
        "owners": "v3",
        "associations": "v4",
        "preferences": "v4",
        "lists": "v3",
        "account": "v3",
        "oauth": "v1",
    }
)
"""The numbered version whose requests and answers are those of the dated ones; older ones have others."""

ENDS: Mapping[str, str] = MappingProxyType({"v4": "30 March 2027", "v3": "September 2027", "v1": "16 February 2027"})
"""Until when a numbered version is supported (changelog: legacy APIs, v4 APIs, v1 OAuth API deprecation)."""


def path_of(family: str, rest: str, versions: Mapping[str, str]) -> str:
    """The path of an operation. versions: by family, where another than ours is wanted."""
    area, name, default = FAMILIES[family]
    version = versions.get(family, default)
    head = f"{area}/{version}{name}" if version.startswith("v") else f"{area}{name}/{version}"
    return f"{head}/{rest}" if rest else head
