"""asyncio without TLS until somebody uses it: OpenSSL takes 4 MB of memory, and 4 ms of each start.

asyncio allows for a Python that has no `ssl`. It is imported like that, then gets what it lacks in a form that is
imported when it is used: ebpftop never does, but a pane of another package may.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType


class _Later:
    """A module that is imported, again if it has been already, when something of it is needed."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._module: ModuleType | None = None

    def __getattr__(self, attribute: str) -> object:
        if self._module is None:
            known = sys.modules.get(self._name)
            self._module = importlib.import_module(self._name) if known is None else importlib.reload(known)
        return getattr(self._module, attribute)


def import_asyncio() -> None:
    """Import asyncio, unless it is there already."""
    if "asyncio" in sys.modules or "ssl" in sys.modules:
        return
    sys.modules["ssl"] = None  # type: ignore[assignment]  # so says the language reference: it is not found
    try:
        asyncio = importlib.import_module("asyncio")
    finally:
        del sys.modules["ssl"]
    ssl, sslproto = _Later("ssl"), _Later("asyncio.sslproto")
    for name, module in list(sys.modules.items()):
        if name.startswith(f"{asyncio.__name__}.") and name != "asyncio.sslproto":
            if vars(module).get("ssl", ssl) is None:
                vars(module)["ssl"] = ssl
            if "sslproto" in vars(module):
                vars(module)["sslproto"] = sslproto
