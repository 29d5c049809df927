"""Names of the kernel's numbers for types of programs and maps, and of what programs are attached to.

They are the enumerations of include/uapi/linux/bpf.h, in bpftool's spelling. tests/kernel/test_programs.py compares
them with the running kernel's BTF.
"""

from __future__ import annotations


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


PROGRAM_TYPES = _names(
    "unspec socket_filter kprobe sched_cls sched_act tracepoint xdp perf_event cgroup_skb cgroup_sock lwt_in lwt_out "
    "lwt_xmit sock_ops sk_skb cgroup_device sk_msg raw_tracepoint cgroup_sock_addr lwt_seg6local lirc_mode2 "
    "sk_reuseport flow_dissector cgroup_sysctl raw_tracepoint_writable cgroup_sockopt tracing struct_ops ext lsm "
    "sk_lookup syscall netfilter"
)
MAP_TYPES = _names(
    "unspec hash array prog_array perf_event_array percpu_hash percpu_array stack_trace cgroup_array lru_hash "
    "lru_percpu_hash lpm_trie array_of_maps hash_of_maps devmap sockmap cpumap xskmap sockhash cgroup_storage "
    "reuseport_sockarray percpu_cgroup_storage queue stack sk_storage devmap_hash struct_ops ringbuf inode_storage "
    "task_storage bloom_filter user_ringbuf cgrp_storage arena insn_array"
)
ATTACH_TYPES = _names(
    "cgroup_inet_ingress cgroup_inet_egress cgroup_inet_sock_create cgroup_sock_ops sk_skb_stream_parser "
    "sk_skb_stream_verdict cgroup_device sk_msg_verdict cgroup_inet4_bind cgroup_inet6_bind cgroup_inet4_connect "
    "cgroup_inet6_connect cgroup_inet4_post_bind cgroup_inet6_post_bind cgroup_udp4_sendmsg cgroup_udp6_sendmsg "
    "lirc_mode2 flow_dissector cgroup_sysctl cgroup_udp4_recvmsg cgroup_udp6_recvmsg cgroup_getsockopt "
    "cgroup_setsockopt trace_raw_tp trace_fentry trace_fexit modify_return lsm_mac trace_iter cgroup_inet4_getpeername "
    "cgroup_inet6_getpeername cgroup_inet4_getsockname cgroup_inet6_getsockname xdp_devmap cgroup_inet_sock_release "
    "xdp_cpumap sk_lookup xdp sk_skb_verdict sk_reuseport_select sk_reuseport_select_or_migrate perf_event "
    "trace_kprobe_multi lsm_cgroup struct_ops netfilter tcx_ingress tcx_egress trace_uprobe_multi cgroup_unix_connect "
    "cgroup_unix_sendmsg cgroup_unix_recvmsg cgroup_unix_getpeername cgroup_unix_getsockname netkit_primary "
    "netkit_peer trace_kprobe_session trace_uprobe_session"
)


def program_type(number: int) -> str:
    """Return the name of a type of programs; ``type 99`` if it is newer than this list."""
    return PROGRAM_TYPES[number] if number < len(PROGRAM_TYPES) else f"type {number}"


def map_type(number: int) -> str:
    """Return the name of a type of maps."""
    return MAP_TYPES[number] if number < len(MAP_TYPES) else f"type {number}"


def attach_word(number: int) -> str:
    """Return what a program is attached to, without the words that its type says: ``inet4_connect``, ``fentry``."""
    if number >= len(ATTACH_TYPES):
        return f"type {number}"
    name = ATTACH_TYPES[number]
    if name == "lsm_mac":
        return "lsm"
    for prefix in ("cgroup_inet_", "cgroup_", "trace_", "tcx_", "netkit_"):
        name = name.removeprefix(prefix)
    return name


def cgroup_attach_types(program_type: int) -> tuple[int, ...]:
    """Return where in a cgroup programs of this type can be attached (kernel/bpf/syscall.c)."""
    return _OF_CGROUPS.get(PROGRAM_TYPES[program_type] if program_type < len(PROGRAM_TYPES) else "", ())


def _all(*names: str) -> tuple[int, ...]:
    return tuple(number for number, name in enumerate(ATTACH_TYPES) if name.removeprefix("cgroup_") in names)


_OF_CGROUPS = {
    "cgroup_skb": _all("inet_ingress", "inet_egress"),
    "cgroup_sock": _all("inet_sock_create", "inet_sock_release", "inet4_post_bind", "inet6_post_bind"),
    "sock_ops": _all("sock_ops"),
    "cgroup_device": _all("device"),
    "cgroup_sysctl": _all("sysctl"),
    "cgroup_sockopt": _all("getsockopt", "setsockopt"),
    "cgroup_sock_addr": tuple(
        number
        for number, name in enumerate(ATTACH_TYPES)
        if name.rpartition("_")[2] in ("bind", "connect", "sendmsg", "recvmsg", "getpeername", "getsockname")
        and "post" not in name
    ),
}
