"""The Salesforce stand-in: an org with its state and rules, answering REST requests as the vendor does."""

from crmdrip.sandbox.salesforce.org import SalesforceOrg

__all__ = ["SalesforceOrg"]
