"""The seeded world on a HubSpot portal: the same people and the same reactions as on the Salesforce org."""

from crmdrip.sandbox.hubspot.world.acting import PortalActions
from crmdrip.sandbox.hubspot.world.install import CONTROL_KEY, Installed, install, sequence_files
from crmdrip.sandbox.hubspot.world.population import PortalWorld
from crmdrip.sandbox.hubspot.world.view import PortalView

__all__ = ["CONTROL_KEY", "Installed", "PortalActions", "PortalView", "PortalWorld", "install", "sequence_files"]
