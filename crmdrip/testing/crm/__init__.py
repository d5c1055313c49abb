"""The contract of the CrmSource and CrmSink ports, as tests.

A connector's author subclasses `CrmContract` and gives three fixtures: `crm`, whoever works inside the CRM (a
`CrmDriver`), and `source` and `sink`, the connector under test with the CRM behind a real socket. Run by pytest, the
class then tests every promise of the ports that can be seen from outside. What a CRM cannot do is known by its
capabilities, never by its name. Promises are named by their rows in the behavior book (B11, B12, B14, B15, B20, B21).
"""

from __future__ import annotations

from crmdrip.testing.crm.driver import CrmDriver, CrmTrouble
from crmdrip.testing.crm.failures import FailureContract
from crmdrip.testing.crm.lists import ListContract, ListDriver
from crmdrip.testing.crm.look import LookContract
from crmdrip.testing.crm.lookup import LookupContract
from crmdrip.testing.crm.pages import PageContract
from crmdrip.testing.crm.people import PeopleContract
from crmdrip.testing.crm.reading import NO_PATHS, Reading, read_all
from crmdrip.testing.crm.sequences import SequenceContract
from crmdrip.testing.crm.signals import SignalContract
from crmdrip.testing.crm.writes import WriteContract
from crmdrip.testing.crm.writing import AT, status_write, task_write, touch_write, write_all

__all__ = [
    "AT",
    "NO_PATHS",
    "CrmContract",
    "CrmDriver",
    "CrmTrouble",
    "ListContract",
    "ListDriver",
    "Reading",
    "read_all",
    "status_write",
    "task_write",
    "touch_write",
    "write_all",
]


class CrmContract(
    PeopleContract,
    SequenceContract,
    PageContract,
    SignalContract,
    LookContract,
    LookupContract,
    WriteContract,
    FailureContract,
):
    """Every promise of CrmSource and CrmSink. Subclass it and give the fixtures crm, source and sink."""
