"""Maps of the running kernel, read in bulk, and key by key as where it cannot do that."""

from __future__ import annotations

import os

import pytest

from ebpftop.kernel import maps
from ebpftop.kernel.bpf_syscall import MapInfo, create_map
from ebpftop.kernel.maps import Map
from tests.kernel.support import needs_root

pytestmark = needs_root

HASH = 1  # include/uapi/linux/bpf.h
ENTRIES = 3000  # more than one batch


@pytest.mark.guest
@pytest.mark.oldest
@pytest.mark.parametrize("in_bulk", [True, False])
def test_a_map_is_read_whole(in_bulk: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    table = Map(create_map("some", MapInfo(HASH, 8, 16, ENTRIES, 0)), ENTRIES)
    try:
        held = {n.to_bytes(8, "little"): (n * n).to_bytes(16, "little") for n in range(ENTRIES)}
        for key, value in held.items():
            maps.update(table, key, value)
        if not in_bulk:
            monkeypatch.setattr(maps, "_read_batches", lambda *_: None)
        keys, values = maps.keys_and_values(table, 8, 16)
        assert len(keys) == ENTRIES
        assert dict(zip(keys, values, strict=True)) == held == dict(maps.items(table, 8, 16))
    finally:
        os.close(table.map_fd)
