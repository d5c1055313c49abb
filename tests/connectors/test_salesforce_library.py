"""What importing the Salesforce connector costs, and that nothing of simple-salesforce is lost by it."""

from __future__ import annotations

import json
import subprocess
import sys

HEAVY = ("zeep", "lxml", "jwt", "cryptography")


def run(program: str) -> list[object]:
    """What a fresh interpreter prints, as JSON."""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    found: list[object] = json.loads(result.stdout)
    return found


def test_the_connector_loads_no_library_it_may_never_need() -> None:
    """SOAP, XML and cryptography wait until something asks for them."""
    program = f"import json, sys, connectors.salesforce; print(json.dumps([m for m in {HEAVY} if m in sys.modules]))"
    assert run(program) == []


def test_what_was_put_off_is_loaded_when_it_is_called() -> None:
    """Another user of simple-salesforce in the same process finds its login with a signed assertion whole."""
    program = (
        "import json, connectors.salesforce; from simple_salesforce import login; import sys;"
        "before = 'jwt.algorithms' in sys.modules; token = login.jwt.encode({}, 'k' * 32, algorithm='HS256');"
        "print(json.dumps([before, token.count('.'), 'jwt.algorithms' in sys.modules]))"
    )
    assert run(program) == [False, 2, True]


def test_a_library_that_is_loaded_already_stays_what_it_is() -> None:
    """Importing the connector afterwards replaces nothing."""
    program = (
        "import json, jwt, sys, connectors.salesforce; from simple_salesforce import login;"
        "print(json.dumps([login.jwt is jwt, sys.modules['jwt'] is jwt, 'zeep' in sys.modules]))"
    )
    assert run(program) == [True, True, False]
