"""The multipart request of a deployment: a part with the options, and a part "file" with the archive.

The guide calls the options' part "json", jsforce calls it "entity_content", and real orgs take both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from python_multipart.multipart import parse_options_header

from crmdrip.sandbox.http import Request
from crmdrip.sandbox.salesforce.refusals import Refusal

_OPTIONS = frozenset(
    {
        "allowMissingFiles", "autoUpdatePackage", "checkOnly", "ignoreWarnings", "performRetrieve", "purgeOnDelete",
        "rollbackOnError", "runTests", "singlePackage", "testLevel",
    }
)  # fmt: skip


def read_deploy_request(request: Request) -> tuple[bytes, Mapping[str, Any]]:
    """The archive and the options. Raises Refusal."""
    _, given = parse_options_header(request.headers.get("content-type", ""))
    boundary = given.get(b"boundary", b"")
    parts = _split(request.body, boundary) if boundary else {}
    told = parts.get("json") or parts.get("entity_content")
    if told is None or "file" not in parts:
        raise Refusal("INVALID_MULTIPART_REQUEST", "The request needs a part named json and a part named file")
    try:
        options = orjson.loads(told)["deployOptions"]
        unknown = sorted(set(options) - _OPTIONS)
    except (ValueError, KeyError, TypeError):
        raise Refusal("JSON_PARSER_ERROR", "The json part needs deployOptions at [line:1, column:1]") from None
    if unknown:
        raise Refusal("JSON_PARSER_ERROR", f'Unrecognized field "{unknown[0]}" at [line:1, column:1]')
    if not options.get("rollbackOnError", True):
        raise Refusal("INVALID_OPERATION", "rollbackOnError must be true for deployments to production organizations")
    if not options.get("singlePackage"):
        raise Refusal("INVALID_OPERATION", "This stand-in takes single packages alone: set singlePackage")
    return parts["file"], options


def _split(body: bytes, boundary: bytes) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for piece in body.split(b"--" + boundary)[1:-1]:
        head, _, content = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        for line in head.split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-disposition":
                _, options = parse_options_header(value.strip())
                found[options.get(b"name", b"").decode()] = content.removesuffix(b"\r\n")
    return found
