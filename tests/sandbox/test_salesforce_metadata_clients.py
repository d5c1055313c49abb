"""Another client deploys the shipped package to the stand-in: jsforce, on which Salesforce builds its own tools."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from connectors.salesforce.blueprint import load_package
from crmdrip.sandbox.http import Server, ServerThread
from crmdrip.sandbox.salesforce import SalesforceOrg

NODE = Path(os.environ.get("CRMDRIP_NODE", Path(__file__).parents[1] / "package" / "node"))
JSFORCE = NODE / "node_modules" / "@jsforce" / "jsforce-node"
DEPLOY = """
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
const { Connection } = createRequire(import.meta.url)("@jsforce/jsforce-node");
const [instanceUrl, accessToken, archive] = process.argv.slice(1);
const org = new Connection({ instanceUrl, accessToken, version: "64.0", maxRequest: 1 });
const options = { singlePackage: true, rollbackOnError: true };
// Its check asks by SOAP, which the stand-in does not speak: what was deployed is seen by a describe.
await org.metadata.deployRest(readFileSync(archive), options).check().catch(() => null);
const described = await org.sobject("Drip_Sequence__c").describe().catch((error) => ({ name: error.errorCode }));
console.log(JSON.stringify({ described: described.name }));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed")
@pytest.mark.skipif(not JSFORCE.is_dir(), reason="jsforce: type npm ci in tests/package/node")
def test_jsforce_deploys_the_package(tmp_path: Path) -> None:
    """Over HTTP, by its own multipart body; afterwards it describes what is there."""
    archive = tmp_path / "package.zip"
    archive.write_bytes(load_package().zip())
    org = SalesforceOrg(lambda: datetime.now(UTC), bare=True)
    server = Server(org.handle)
    with ServerThread(server) as thread:
        token = thread.call(lambda: org.sessions.open(org.admin_id))
        command = ["node", "--input-type=module", "-e", DEPLOY, "--", server.url, token, str(archive)]
        done = subprocess.run(command, cwd=NODE, check=False, capture_output=True, text=True, timeout=60)
    org.close()
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"described": "Drip_Sequence__c"}
