"""How a finding of the doctor is written down, ours and the connectors' alike."""

from __future__ import annotations

from crmdrip.ports.vendor import CheckLevel, CheckResult


def ok(code: str, what: str) -> CheckResult:
    """All is well."""
    return CheckResult(code=code, level=CheckLevel.OK, what=what)


def warn(code: str, what: str, do_next: str) -> CheckResult:
    """Sending works, and something is missing or surprising."""
    return CheckResult(code=code, level=CheckLevel.WARN, what=what, do_next=do_next)


def fail(code: str, what: str, do_next: str) -> CheckResult:
    """Nothing is sent until this is mended."""
    return CheckResult(code=code, level=CheckLevel.FAIL, what=what, do_next=do_next)
