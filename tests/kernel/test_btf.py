"""BTF of the running kernel, read by ebpftop."""

from __future__ import annotations

from ebpftop.kernel import btf
from ebpftop.kernel.btf_types import COMPOSITES, BtfTypes, Kind


def test_every_type_of_this_kernel_is_read_and_its_members_lie_within_it() -> None:
    types = BtfTypes(btf.of_running_kernel())
    kinds: dict[Kind, int] = {}
    for number in range(1, len(types)):
        found = types.type(number)
        kinds[found.kind] = kinds.get(found.kind, 0) + 1
        if found.kind in COMPOSITES:
            ends = [m.bits + (m.width or 8 * types.size_of(m.type_id)) for m in found.members]
            assert all(end <= 8 * found.size for end in ends), found.name
    assert {Kind.INT, Kind.PTR, Kind.STRUCT, Kind.UNION, Kind.ENUM, Kind.TYPEDEF, Kind.FUNC, Kind.FUNC_PROTO} <= set(
        kinds
    )
    assert all(types.type(number).name == name for number, name in types.named(Kind.FUNC))
