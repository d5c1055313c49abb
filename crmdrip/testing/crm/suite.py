"""What every suite of the contract begins from."""

from __future__ import annotations

from typing import ClassVar

import pytest

from crmdrip.core.model import RecordKind, RecordRef
from crmdrip.ports import Capability, CrmSource
from crmdrip.testing.crm.driver import CrmDriver


class CrmSuite:
    """The beginnings all suites share; the fixtures crm, source and sink come from whoever is tested."""

    title: ClassVar[str] = ""
    """How this CRM is headed in the table of the contract; "" for the name of the class."""

    @pytest.fixture
    def sequence(self, crm: CrmDriver) -> str:
        """A live sequence of two steps."""
        return crm.add_sequence("Intro", ["Hello", "Again"])

    @pytest.fixture
    def person(self, crm: CrmDriver, sequence: str) -> RecordRef:
        """A contact with the box ticked."""
        return crm.add_person(RecordKind.CONTACT, email="Ann@Acme.example", enrolled=True, sequence=sequence)

    def need(self, source: CrmSource, capability: Capability) -> None:
        """Skip what the CRM says it cannot do."""
        if capability not in source.capabilities():
            pytest.skip(f"the CRM has no {capability}")
