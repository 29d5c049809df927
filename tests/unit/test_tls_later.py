"""asyncio is imported without OpenSSL, and has TLS all the same when a pane of another package uses it."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import sys
import ebpftop.ui.app
assert "ssl" not in sys.modules
import asyncio, ssl

def context(side):
    found = ssl.SSLContext(side)
    found.set_ciphers("AECDH:@SECLEVEL=0")  # needs no certificate
    found.maximum_version = ssl.TLSVersion.TLSv1_2
    if side == ssl.PROTOCOL_TLS_CLIENT:
        found.check_hostname, found.verify_mode = False, ssl.CERT_NONE
    return found

async def answer(reader, writer):
    writer.write((await reader.readline()).upper())
    await writer.drain()

async def talk():
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context(ssl.PROTOCOL_TLS_SERVER))
    port = server.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context(ssl.PROTOCOL_TLS_CLIENT))
    writer.write(b"over tls\\n")
    print(writer.get_extra_info("ssl_object").version(), (await reader.readline()).decode(), end="")
    transport = writer.transport
    transport.abort()
    server.close()

asyncio.run(talk())
"""


def test_tls_works_once_it_is_used() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("TLSv1.2 OVER TLS\n", "")


@pytest.mark.parametrize("before", ["asyncio", "ssl"])
def test_what_is_there_already_stays(before: str) -> None:
    program = (
        f"import {before}, sys; before = sys.modules.get('ssl'); import ebpftop.ui.app, asyncio.sslproto; "
        "print(asyncio.sslproto.ssl is sys.modules['ssl'], sys.modules['ssl'] is before)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True"]
