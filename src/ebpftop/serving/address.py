"""Where `ebpftop serve` listens."""

from __future__ import annotations

from typing import NamedTuple


class Address(NamedTuple):
    """Where to listen. An empty host: every address of the machine."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """Return the address in *text*, ADDR:PORT or [ADDR]:PORT; raises ValueError."""
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535 or (":" in host) != bracketed:
        raise ValueError(f"{text!r} is not ADDR:PORT, as {DEFAULT} or [::1]:{DEFAULT.port}")
    return Address(host[1:-1] if bracketed else host, int(port))


DEFAULT = Address("127.0.0.1", 10919)
"""Only this machine can reach it. Why this port: docs/serve.md."""
