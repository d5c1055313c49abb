"""The parts of a deployment: one component each, as package.xml names them, and what is wrong with them."""

from __future__ import annotations

from dataclasses import dataclass

from crmdrip.sandbox.salesforce.metadata.xml import Node


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One complaint, worded as the vendor words it where that is known."""

    text: str
    line: int = 0
    """0 where no place can be named."""
    column: int = 0
    warning: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One component on its way into the org."""

    kind: str
    """CustomObject, CustomField, PermissionSet, ..."""
    name: str
    """Its full name, such as "Contact.Drip_Status__c"."""
    file: str
    """Where it stands in the archive."""
    node: Node | None = None
    """Its XML, None for code."""
    content: bytes = b""
    """Its code."""

    @property
    def owner(self) -> str:
        """The object that a field, rule or list view belongs to."""
        return self.name.partition(".")[0]

    @property
    def local(self) -> str:
        """The name within the object."""
        return self.name.rpartition(".")[2]

    @property
    def shape(self) -> object:
        """What it says, for telling a change."""
        return self.content if self.node is None else (self.node.shape(), self.content)

    @property
    def key(self) -> tuple[str, str]:
        """By which the org knows it."""
        return (self.kind, self.name)
