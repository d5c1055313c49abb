"""The script most teams would write: a loop over contacts, and for each who is due one email and two writes to the CRM.

Written as a competent team would: one session kept open, only the fields needed, the templates compiled once. The
vendors' own libraries do the rest. It loops over everybody whose box is ticked; a leaner one lets the CRM select who is
due, which takes a field that says so. A program of its own: see workers.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import islice
from string import Template
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from sendgrid import SendGridAPIClient
from sendgrid.helpers.mail import Mail
from simple_salesforce.api import Salesforce

from benchmarks.workers import serve

CONSUMER_KEY = "sandbox-consumer-key"
CONSUMER_SECRET = "sandbox-consumer-secret"
SENDGRID_KEY = "SG.sandbox.sandbox-secret"

QUERY = "SELECT Id, FirstName, Email, Account.Name, Owner.Name, Owner.Email, Drip_Next_Touch__c FROM Contact"
SUBJECT = Template("Follow-ups at $company")
BODY = Template(
    """<p>Hi $name,</p>
<p>I work with sales teams who lose deals to silence: a good first call, then three weeks of nobody writing back to
anybody. Usually it is not the pitch. It is the fourth follow-up that never goes out.</p>
<p>Acme watches for that gap and closes it from inside the CRM you already have, so nothing has to be copied into yet
another tool.</p>
<p>Is keeping follow-ups going something you look after at $company, or should I ask somebody else?</p>
<p>$owner</p>"""
)


class _Loopback(HTTPAdapter):
    """simple-salesforce writes https:// into every URL; this takes it to the stand-in."""

    def __init__(self, target: str, ca_file: str) -> None:
        self._target = urlsplit(target)
        self._ca_file = ca_file
        super().__init__()

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        url = urlsplit(request.url or "")
        request.headers["Host"] = str(url.netloc)
        request.url = url._replace(scheme=self._target.scheme, netloc=self._target.netloc).geturl()
        return super().send(request, *args, **{**options, "verify": self._ca_file or False, "proxies": {}})


class Script:
    """Logs in once; `run` is what cron would start."""

    def open(self, salesforce: str, sendgrid: str, ca_file: str) -> None:
        """Log in. ca_file: whose certificates are trusted; "" where there is no TLS."""
        if ca_file:
            # What SendGrid's library trusts: OpenSSL's own files. It connects, and shakes hands, for each email anew.
            os.environ["SSL_CERT_FILE"] = ca_file
        session = requests.Session()
        session.trust_env = False
        session.mount("https://", _Loopback(salesforce, ca_file))
        # Any: its attributes are made up as they are asked for.
        self._salesforce: Any = Salesforce(
            consumer_key=CONSUMER_KEY,
            consumer_secret=CONSUMER_SECRET,
            domain="acme.my",
            session=session,
            version="64.0",
        )
        self._sendgrid = SendGridAPIClient(SENDGRID_KEY, host=sendgrid)

    def run(self, now: str, limit: int) -> dict[str, float]:
        """Loop over everybody, and mail at most `limit` who are due. Returns how many, and the seconds it took."""
        began, cpu = time.perf_counter(), time.process_time()
        contacts = self._salesforce.query_all_iter(f"{QUERY} WHERE Drip_Enrolled__c = true")
        due = islice((one for one in contacts if _is_due(one, now)), limit)
        return self._mail_all(due, now, began, cpu)

    def run_lean(self, now: str, limit: int) -> dict[str, float]:
        """The same, but the CRM selects who is due."""
        began, cpu = time.perf_counter(), time.process_time()
        query = (
            f"{QUERY} WHERE Drip_Enrolled__c = true AND Drip_Next_Touch__c <= {_moment(now)}"
            f" ORDER BY Drip_Next_Touch__c LIMIT {limit}"
        )
        return self._mail_all(self._salesforce.query_all(query)["records"], now, began, cpu)

    def _mail_all(self, contacts: Iterable[Any], now: str, began: float, cpu: float) -> dict[str, float]:
        sent = 0
        for contact in contacts:
            self._mail(contact, now)
            sent += 1
        wall = time.perf_counter() - began
        return {
            "sent": sent,
            "wall": wall,
            "cpu": time.process_time() - cpu,
        }

    def _mail(self, contact: Any, now: str) -> None:
        company = contact["Account"]["Name"] if contact["Account"] else "your company"
        owner = contact["Owner"]
        subject = SUBJECT.substitute(company=company)
        self._sendgrid.send(
            Mail(
                from_email=(owner["Email"], owner["Name"]),
                to_emails=contact["Email"],
                subject=subject,
                html_content=BODY.substitute(
                    name=contact["FirstName"] or "there", company=company, owner=owner["Name"]
                ),
            )
        )
        following = datetime.fromisoformat(now) + timedelta(days=2)
        self._salesforce.Contact.update(
            contact["Id"],
            {
                "Drip_Status__c": "Active",
                "Drip_Last_Touch__c": _moment(now),
                "Drip_Next_Touch__c": _moment(following.isoformat()),
            },
        )
        self._salesforce.Task.create(
            {
                "WhoId": contact["Id"],
                "Subject": f"Email: {subject}",
                "Status": "Completed",
                "TaskSubtype": "Email",
                "ActivityDate": now[:10],
            }
        )


def _is_due(contact: Any, now: str) -> bool:
    at = contact["Drip_Next_Touch__c"]
    return at is not None and datetime.fromisoformat(at) <= datetime.fromisoformat(now)


def _moment(at: str) -> str:
    return datetime.fromisoformat(at).strftime("%Y-%m-%dT%H:%M:%SZ")


if __name__ == "__main__":
    script = Script()
    serve({"open": script.open, "run": script.run, "run_lean": script.run_lean})
