"""The page layouts of sequences and steps: which fields stand where. A test holds them to the package's own."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """Fields under one heading, in their order."""

    title: str
    fields: tuple[str, ...]
    read_only: bool = False


REQUIRED = frozenset({"Name"})
"""Fields that the layouts demand, beside those that the objects do."""

READ_ONLY = frozenset({"Drip_Active_Steps__c"})
"""Fields that stand between others to be edited, and are only shown."""

SEQUENCE = (
    Section(
        title="Sequence",
        fields=("Name", "Drip_Status__c", "Drip_Public_Name__c", "OwnerId", "Drip_Active_Steps__c"),
    ),
    Section(title="What crmdrip Reports", fields=("Drip_Error__c",), read_only=True),
    Section(
        title="When It Sends",
        fields=(
            *("Drip_Send_Days__c", "Drip_Send_From__c", "Drip_Send_Until__c", "Drip_Minimum_Gap_Hours__c"),
            *("Drip_Time_Zone_Policy__c", "Drip_Time_Zone__c", "Drip_Holiday_Country__c"),
        ),
    ),
    Section(title="Who It Is From", fields=("Drip_Sender__c", "Drip_From_Address__c")),
    Section(
        title="Who Gets In",
        fields=(
            *("Drip_Re_Enrollment__c", "Drip_Re_Enroll_After_Days__c", "Drip_Entry_Cap__c"),
            *("Drip_Domain_Entry_Cap__c", "Drip_Confirm_Above__c", "Drip_Confirmed__c"),
        ),
    ),
    Section(title="How Much It Sends", fields=("Drip_Daily_Cap__c", "Drip_Domain_Cap__c")),
    Section(
        title="What Stops It",
        fields=(
            *("Drip_On_Colleague_Reply__c", "Drip_On_Opportunity__c", "Drip_On_Conversion__c", "Drip_Stop_When__c"),
        ),
    ),
    Section(
        title="Figures",
        fields=(
            *("Drip_Active_Count__c", "Drip_Held_Count__c", "Drip_Sent_Count__c"),
            *("Drip_Replied_Count__c", "Drip_Meetings_Count__c", "Drip_Stopped_Count__c"),
        ),
        read_only=True,
    ),
    Section(title="System Information", fields=("CreatedById", "Drip_Version__c", "LastModifiedById"), read_only=True),
)

STEP = (
    Section(
        title="Step",
        fields=(
            *("Name", "Drip_Sequence__c", "Drip_Order__c", "Drip_Active__c"),
            *("Drip_Kind__c", "Drip_Delay__c", "Drip_Delay_Unit__c", "Drip_Expires_After_Hours__c"),
        ),
    ),
    Section(title="What It Says", fields=("Drip_Subject__c", "Drip_Continue_Thread__c", "Drip_Body__c")),
    Section(title="Variants and Approval", fields=("Drip_Variant__c", "Drip_Weight__c", "Drip_Needs_Approval__c")),
    Section(title="System Information", fields=("CreatedById", "LastModifiedById"), read_only=True),
)


def editable(layout: tuple[Section, ...]) -> tuple[str, ...]:
    """The fields of a layout that a form asks for."""
    return tuple(
        name for section in layout if not section.read_only for name in section.fields if name not in READ_ONLY
    )
