"""simple-salesforce, imported without what only its metadata API and its own login need.

Importing it loads zeep, lxml, PyJWT and cryptography: 7 MB of the daemon's memory for the first two, as much again for
the others where nothing else needs them (measured). The metadata API is never used here and the login is our own, so
all of them wait until somebody calls them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

__all__ = ["Salesforce"]


class _Later:
    """A function or class whose module is imported with the first call."""

    def __init__(self, module: str, name: str) -> None:
        self._module, self._name = module, name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return getattr(import_module(self._module), self._name)(*args, **kwargs)


class _Placeholder(ModuleType):
    """Stands in for a module while another one imports names from it."""

    def __getattr__(self, name: str) -> _Later:
        if name.startswith("__"):
            raise AttributeError(name)  # the import system asks for such: a plain module answers no
        return _Later(self.__name__, name)


@contextmanager
def _waiting(*names: str) -> Iterator[None]:
    """Inside, the modules are not imported but promised; those that are imported already stay what they are."""
    placed = {name: _Placeholder(name) for name in names if name not in sys.modules}
    sys.modules.update(placed)
    try:
        yield
    finally:
        for name in placed:
            del sys.modules[name]


# Checked with 1.12.10: it takes these apart nowhere, it only calls them and writes them into annotations.
with _waiting("zeep", "zeep.proxy", "zeep.xsd", "jwt"):
    from simple_salesforce.api import Salesforce
