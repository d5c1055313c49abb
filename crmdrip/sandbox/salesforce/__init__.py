"""The Salesforce stand-in: an org with its state and rules, answering REST requests as the vendor does."""

from crmdrip.sandbox.salesforce.lifecycle import Conversion
from crmdrip.sandbox.salesforce.org import DEFAULT_KEY, DEFAULT_SECRET, SalesforceOrg
from crmdrip.sandbox.salesforce.refusals import Refusal
from crmdrip.sandbox.salesforce.trouble import TROUBLES

__all__ = ["DEFAULT_KEY", "DEFAULT_SECRET", "TROUBLES", "Conversion", "Refusal", "SalesforceOrg"]
