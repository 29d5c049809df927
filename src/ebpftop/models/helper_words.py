"""The kernel's helpers and BCC's operations of maps, each explained in a line.

What they do is from bpf-helpers(7) and BCC's reference guide; the words are our own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

METHODS: Mapping[str, str] = {
    "lookup": "finds a key in a map; gives NULL where it is not there, so the verifier wants a test before it is used",
    "lookup_or_try_init": "finds a key in a map, and puts it there with this value if it is not; NULL if the map "
    "is full",
    "lookup_or_init": "finds a key in a map, and puts it there with this value if it is not; NULL: the program ends",
    "update": "writes a value into a map under a key, new or not",
    "insert": "writes a value into a map under a key, if the key is not there yet",
    "delete": "removes a key and its value from a map",
    "increment": "adds to the number that a map has under a key, from 0 if it is not there; not atomic: two CPUs at "
    "once may count one",
    "atomic_increment": "adds to the number that a map has under a key, atomically: no CPU's count is lost",
    "call": "a tail call: hands over to the program in a slot and does not come back; if the slot is empty, goes "
    "on here",
    "perf_submit": "sends bytes to user space through the perf buffer of this CPU; fails if that is full",
    "perf_submit_skb": "sends bytes and a part of the packet to user space through the perf buffer of this CPU",
    "perf_read": "reads a performance counter",
    "perf_counter_value": "reads a performance counter, and how long it was on",
    "ringbuf_output": "copies bytes into the ring buffer, which all CPUs share, in order; fails if it is full",
    "ringbuf_reserve": "gives room in the ring buffer to fill in place; NULL if it is full, and it must be "
    "submitted or discarded",
    "ringbuf_submit": "hands over what was reserved in the ring buffer",
    "ringbuf_discard": "gives back what was reserved in the ring buffer, unsent",
    "ringbuf_query": "says how full the ring buffer is",
    "get_stackid": "notes the functions that led here, and gives the number of that stack in the map; below 0: failed",
    "push": "puts a value into a queue or on a stack",
    "pop": "takes the next value out of a queue or off a stack",
    "peek": "reads the next value of a queue or stack and leaves it there",
    "redirect_map": "sends the packet on to the device, CPU or socket in a slot of the map",
    "sk_storage_get": "gives the memory of a socket that belongs to this map",
    "check_current_task": "says whether this process is below the cgroup in a slot of the map",
}
"""Operations of BCC's maps."""

HELPERS: Mapping[str, str] = {
    "map_lookup_elem": METHODS["lookup"],
    "map_update_elem": METHODS["update"],
    "map_delete_elem": METHODS["delete"],
    "map_lookup_percpu_elem": "finds a key in a map that has a value for each CPU; gives the value of the CPU named",
    "map_push_elem": METHODS["push"],
    "map_pop_elem": METHODS["pop"],
    "map_peek_elem": METHODS["peek"],
    "for_each_map_elem": "calls a function for each entry of a map",
    "tail_call": METHODS["call"],
    "loop": "calls a function so many times",
    "trace_printk": "prints a line to the kernel's trace log (trace_pipe): at most three numbers, slow, for trying out",
    "trace_vprintk": "prints a line with more than three numbers to the kernel's trace log",
    "snprintf": "writes text with numbers into a buffer",
    "perf_event_output": METHODS["perf_submit"],
    "perf_event_read": METHODS["perf_read"],
    "perf_event_read_value": METHODS["perf_counter_value"],
    "perf_prog_read_value": "reads the counter of the event that this program hangs at",
    "ringbuf_output": METHODS["ringbuf_output"],
    "ringbuf_reserve": METHODS["ringbuf_reserve"],
    "ringbuf_submit": METHODS["ringbuf_submit"],
    "ringbuf_discard": METHODS["ringbuf_discard"],
    "ringbuf_query": METHODS["ringbuf_query"],
    "get_stackid": METHODS["get_stackid"],
    "get_stack": "writes the addresses of the functions that led here into a buffer",
    "get_task_stack": "writes the addresses of the functions that a task is in into a buffer",
    "probe_read": "copies memory at an address that need not be valid; below 0 if it is not. Better: ..._kernel "
    "or ..._user",
    "probe_read_kernel": "copies the kernel's memory at an address that need not be valid; below 0 if it is not",
    "probe_read_user": "copies memory of the running process; below 0 if it is not there, or not in memory right now",
    "probe_read_str": "copies text up to its end; gives its length. Better: ..._kernel_str or ..._user_str",
    "probe_read_kernel_str": "copies text from the kernel's memory up to its end; gives its length with the 0, "
    "or below 0",
    "probe_read_user_str": "copies text from the process's memory up to its end; gives its length with the 0, or "
    "below 0",
    "copy_from_user": "copies memory of the process, and waits if it has to be fetched: only in programs that "
    "may sleep",
    "probe_write_user": "writes into the memory of the running process: for trying out, the kernel warns of it",
    "get_current_pid_tgid": "who runs: process id (tgid) in the upper 32 bits, thread id in the lower",
    "get_current_uid_gid": "for whom it runs: group id in the upper 32 bits, user id in the lower",
    "get_current_comm": "copies the name of the running thread, at most 16 bytes with the 0",
    "get_current_task": "the address of the running thread's task_struct, as a number: read it with "
    "bpf_probe_read_kernel",
    "get_current_task_btf": "the running thread's task_struct, whose members can be read directly",
    "get_current_cgroup_id": "the id of the cgroup that the running process is in",
    "get_current_ancestor_cgroup_id": "the id of a cgroup above the one that the running process is in",
    "current_task_under_cgroup": "says whether the running process is below a cgroup",
    "get_ns_current_pid_tgid": "process and thread id as seen from a pid namespace",
    "ktime_get_ns": "nanoseconds since boot, without the time in suspend: for differences, not for the time of day",
    "ktime_get_boot_ns": "nanoseconds since boot, with the time in suspend",
    "ktime_get_coarse_ns": "nanoseconds since boot, only as exact as the clock tick, and cheaper",
    "ktime_get_tai_ns": "nanoseconds of the atomic clock (TAI)",
    "jiffies64": "clock ticks since boot",
    "get_smp_processor_id": "the number of the CPU that this runs on",
    "get_numa_node_id": "the number of the NUMA node of this CPU",
    "get_prandom_u32": "a random number of 32 bits, not for secrets",
    "get_attach_cookie": "the number that this program was attached with",
    "get_func_ip": "the address of the function that the probe is on",
    "get_func_arg": "reads an argument of the function that is traced",
    "get_func_ret": "reads what the function that is traced returned",
    "get_func_arg_cnt": "how many arguments the function that is traced has",
    "get_branch_snapshot": "the last jumps of the CPU",
    "override_return": "lets the function that is probed return this instead of running: for tests of errors",
    "send_signal": "sends a signal to the running process",
    "send_signal_thread": "sends a signal to the running thread",
    "strtol": "reads a number from text",
    "strtoul": "reads a number without sign from text",
    "strncmp": "compares text with a constant one",
    "d_path": "writes the path of an open file into a buffer",
    "this_cpu_ptr": "the address of a variable of the kernel on this CPU",
    "per_cpu_ptr": "the address of a variable of the kernel on a CPU; NULL if there is no such CPU",
    "kallsyms_lookup_name": "the address of a symbol of the kernel",
    "btf_find_by_name_kind": "the number of a type of the kernel",
    "task_storage_get": "gives the memory of a thread that belongs to this map",
    "task_storage_delete": "frees the memory of a thread that belongs to this map",
    "inode_storage_get": "gives the memory of a file that belongs to this map",
    "spin_lock": "waits until no other CPU is in this value of the map",
    "spin_unlock": "lets other CPUs into this value of the map",
    "skb_load_bytes": "copies bytes of the packet",
    "skb_load_bytes_relative": "copies bytes of the packet, counted from its header",
    "skb_store_bytes": "writes bytes into the packet",
    "l3_csum_replace": "mends the checksum of the IP header after a change",
    "l4_csum_replace": "mends the checksum of TCP or UDP after a change",
    "csum_diff": "computes how a checksum changes",
    "clone_redirect": "sends a copy of the packet to another device",
    "redirect": "sends the packet to another device",
    "redirect_map": METHODS["redirect_map"],
    "get_socket_cookie": "a number that stands for a socket as long as it exists",
    "get_socket_uid": "the user id of a socket's owner",
    "get_netns_cookie": "a number that stands for a network namespace",
    "xdp_adjust_head": "moves the start of the packet",
    "xdp_adjust_tail": "moves the end of the packet",
    "fib_lookup": "asks the kernel's routing table where the packet goes",
    "sk_lookup_tcp": "finds the TCP socket of an address",
    "sk_lookup_udp": "finds the UDP socket of an address",
    "sk_release": "gives back a socket that was found",
    "sk_fullsock": "the whole socket of a packet; NULL if it has none",
    "getsockopt": "reads an option of a socket",
    "setsockopt": "sets an option of a socket",
    "rdonly_cast": "tells the verifier of what type the memory at an address is, so that it can be read directly",
    "dynptr_from_mem": "makes a pointer whose size is known when it runs",
}
"""Helpers, by their names without ``bpf_``."""

MACROS: Mapping[str, str] = {
    "lock_xadd": "adds to a number atomically: no CPU's count is lost",
    "TRACEPOINT_PROBE": "a program at a tracepoint, named by category and event; its fields are members of args",
    "RAW_TRACEPOINT_PROBE": "a program at a raw tracepoint; what the kernel passes there are ctx->args[0] and so on",
    "KFUNC_PROBE": "a program at the entry of a function of the kernel, with its arguments by name (fentry)",
    "KRETFUNC_PROBE": "a program at the return of a function of the kernel, with arguments and result by name (fexit)",
    "LSM_PROBE": "a program at a decision of the kernel's security modules: what it returns may forbid it",
    "BPF_HASH": "a map from any key to a value; full: a new key is refused. u64 to u64 if nothing is said, 10240 "
    "entries",
    "BPF_ARRAY": "a map whose keys are 0 to n - 1, which are all there from the start with 0",
    "BPF_HISTOGRAM": "an array that counts by slot: bpf_log2l(value) is the slot of a power of two",
    "BPF_PERCPU_ARRAY": "an array with a value for each CPU, so that none waits for another; summed up when read",
    "BPF_PERCPU_HASH": "a map with a value for each CPU, so that none waits for another; summed up when read",
    "BPF_LRU_HASH": "a map that drops what was used longest ago when it is full",
    "BPF_PERF_OUTPUT": "a buffer for each CPU, through which events travel to user space",
    "BPF_RINGBUF_OUTPUT": "one buffer of all CPUs, through which events travel to user space in their order",
    "BPF_PROG_ARRAY": "a map of programs: slots for tail calls, filled from user space",
    "BPF_STACK_TRACE": "a map of stacks: the functions that led somewhere, by a number",
    "BPF_TABLE": "a map of any kind, by the name of the kind",
    "PT_REGS_PARM1": "the first argument of the function that the kprobe is on",
    "PT_REGS_RC": "what the function returned, in a kretprobe",
    "bpf_log2l": "the slot of a number in a histogram of powers of two",
    "bpf_log2": "the slot of a number in a histogram of powers of two",
}

_CALL = re.compile(r"^call (\w+)")
_WORDS_THEN_BRACKET = re.compile(r"(\.\s*)?\b(\w+)\s*\(")
# What the kernel's own functions are called that helpers become: those of a kind of map, those of a kind of program.
_MAP_KIND = re.compile(
    r"(?:__)?(?:htab|array|trie|dev_map\w*|bloom_map|queue_stack_map|percpu_array|cgroup_storage)\w*?_"
)
_OF_MAP = re.compile(r"(lookup|update|delete|push|pop|peek)_elem")
_OF_PROGRAM = re.compile(r"_(?:raw_tp|tp|tracing|pe|perf|kprobe|compat|proto|btf|xdp|skb)$")


def explain_helper(name: str) -> str | None:
    """Return what a helper, an operation of a map or a macro does, by the name that the source or the code has."""
    bare = name.removeprefix("bpf_")
    for known in (MACROS.get(name), HELPERS.get(bare), HELPERS.get(_OF_PROGRAM.sub("", bare)), METHODS.get(name)):
        if known:
            return known
    if (match := _OF_MAP.search(name)) and _MAP_KIND.match(name):
        return HELPERS.get(f"map_{match[1]}_elem")
    return None


def explain_instruction(text: str) -> str | None:
    """Return what the helper does that an instruction (``call bpf_ktime_get_ns``) calls; None if it calls none."""
    match = _CALL.match(text)
    return explain_helper(match[1]) if match else None


def explain_line(text: str) -> tuple[tuple[str, str], ...]:
    """Return the helpers, operations of maps and macros in a line of C, in its order, each with what it does."""
    found: dict[str, str] = {}
    for match in _WORDS_THEN_BRACKET.finditer(text):
        dot, name = match[1], match[2]
        words = (
            METHODS.get(name)
            if dot
            else MACROS.get(name) or (HELPERS.get(name[4:]) if name.startswith("bpf_") else None)
        )
        if words:
            found.setdefault(name, words)
    return tuple(found.items())
