"""What the core needs from outside, as protocols; what each method raises is part of the contract.

A connector implements one or more of these. `crmdrip.testing` has a contract suite for each. Every method is
synchronous, may block on the network within the connector's own time-outs, and is called from several threads.
Methods raise only members of the taxonomy in `crmdrip.core.errors`.
"""

from crmdrip.core.mapping import (
    CrmMapping,
)
from crmdrip.core.message import (
    EmailMessage,
)
from crmdrip.core.received import (
    Delivery,
    RawMail,
)
from crmdrip.core.writes import (
    ASKED,
    ApprovalWrite,
    BounceWrite,
    ControlWrite,
    OptOutWrite,
    ReplyWrite,
    SequenceWrite,
    StatusWrite,
    TaskWrite,
    TouchWrite,
    Write,
)
from crmdrip.ports.answers import (
    reading,
    reads_answers_of,
)
from crmdrip.ports.calls import (
    CallMeter,
    Purpose,
)
from crmdrip.ports.crm import (
    Budget,
    CrmIdentity,
    CrmSink,
    CrmSource,
    FollowsLists,
    Look,
    PullPage,
    WriteOutcome,
)
from crmdrip.ports.describing import (
    Candidate,
    OffersDescription,
    Place,
)
from crmdrip.ports.hearing import (
    Hint,
    Hook,
    HookRequest,
    Mailbox,
    MailPage,
    OffersHints,
    OffersHooks,
    OffersMailboxes,
)
from crmdrip.ports.install import (
    ChangeKind,
    Installer,
    NamesItsPlace,
    OffersInstallation,
    SchemaChange,
)
from crmdrip.ports.mail import (
    Finding,
    LogFinding,
    Mailer,
    SendOutcome,
    SendStatus,
    SignalFeed,
    SignalPage,
)
from crmdrip.ports.outside import (
    Capability,
    Clock,
)
from crmdrip.ports.probing import (
    OffersProbe,
)
from crmdrip.ports.vendor import (
    CheckLevel,
    CheckResult,
    Connector,
    ConnectorContext,
    Role,
)

__all__ = [
    "ASKED",
    "ApprovalWrite",
    "BounceWrite",
    "Budget",
    "CallMeter",
    "Candidate",
    "Capability",
    "ChangeKind",
    "CheckLevel",
    "CheckResult",
    "Clock",
    "Connector",
    "ConnectorContext",
    "ControlWrite",
    "CrmIdentity",
    "CrmMapping",
    "CrmSink",
    "CrmSource",
    "Delivery",
    "EmailMessage",
    "Finding",
    "FollowsLists",
    "Hint",
    "Hook",
    "HookRequest",
    "Installer",
    "LogFinding",
    "Look",
    "MailPage",
    "Mailbox",
    "Mailer",
    "NamesItsPlace",
    "OffersDescription",
    "OffersHints",
    "OffersHooks",
    "OffersInstallation",
    "OffersMailboxes",
    "OffersProbe",
    "OptOutWrite",
    "Place",
    "PullPage",
    "Purpose",
    "RawMail",
    "ReplyWrite",
    "Role",
    "SchemaChange",
    "SendOutcome",
    "SendStatus",
    "SequenceWrite",
    "SignalFeed",
    "SignalPage",
    "StatusWrite",
    "TaskWrite",
    "TouchWrite",
    "Write",
    "WriteOutcome",
    "reading",
    "reads_answers_of",
]
