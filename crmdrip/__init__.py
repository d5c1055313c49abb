"""Sales email sequences that live in the CRM."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("crmdrip")
except PackageNotFoundError:  # running from a source tree that was never installed
    __version__ = "0+unknown"
