"""The verifier's messages in words that a learner understands, and what to try.

The messages are those of kernel/bpf/verifier.c, core.c and of the program types, in the wordings of Linux 5.10 to 7.x
(``inv`` was renamed ``scalar`` in 5.18). A pattern that names no group still stands for one meaning. In the texts,
{it} is the variable whose value is meant, or the register; {call} the function that is called; groups are the
pattern's own.
"""

from __future__ import annotations

import re

from ebpftop.models.source_places import called_function, only_loop
from ebpftop.models.verifier_explanation import NUMBER, REGISTER, Explanation, explain
from ebpftop.models.verifier_memory_words import MEMORY

_PROGRAM: tuple[Explanation, ...] = (
    # ---- loops and size ----
    explain(
        r"infinite loop detected at insn (?P<insn>\d+)",
        "This loop never ends: it comes back with nothing changed.",
        "count in the loop, and end it: for (int i = 0; i < 16; i++)",
        place=only_loop,
    ),
    explain(
        r"back-edge from insn (?P<insn>\d+) to \d+",
        "This is a loop, and this kernel (or this user) allows none that is not unrolled.",
        "#pragma unroll before a loop of a constant number of rounds",
        place=only_loop,
    ),
    explain(
        r"(?:BPF program is too large\. Processed (?P<count>\d+) insn)",
        "The verifier walked a million instructions and was not at the end: every round of a loop and both sides of "
        "every branch count.",
        "fewer rounds, fewer branches within a loop; split it in two programs with a tail call",
        place=only_loop,
    ),
    explain(
        r"The sequence of (?P<count>\d+) jumps is too complex",
        "Too many branches follow one another: the verifier has to remember each that it has not followed yet, and a "
        "loop "
        "without a limit makes ever more of them.",
        "give the loop a constant limit: for (u32 i = 0; i < 16 && i < n; i++)",
        place=only_loop,
    ),
    explain(
        r"jump out of range from insn (?P<insn>\d+) to (?P<to>-?\d+)|call to invalid destination|invalid call insn",
        "The program jumps to where it has no instruction: usually it calls a function or macro that does not exist "
        "here.",
        "look for a call of a function that is neither a helper nor defined in this file",
    ),
    explain(
        r"unreachable insn (?P<insn>\d+)",
        "There is an instruction that no path leads to: code behind a return or a jump.",
        "remove what is behind it; in inline assembly, see where it jumps to",
    ),
    explain(
        r"last insn is not an exit or jmp",
        "A function of the program does not end with a return, or calls another function of the file: BCC loads each "
        "function "
        "alone, so a function that is called and not inlined is missing.",
        "return on every path; make functions that are called static inline (or __always_inline)",
        place=called_function,
    ),
    explain(
        r"(?:recursive call|the call stack of \d+ frames is too deep)",
        "Functions call each other in a circle, or too deep (8 at most).",
        "make it a loop with a constant limit, or a tail call",
    ),
    explain(
        r"tail_calls are (?:not allowed|only allowed)|tail_calls? .* not allowed",
        "Tail calls and calls of functions that are not inlined do not go together here.",
        "make the function static inline",
    ),
    # ---- helpers and maps ----
    explain(
        r"(?:unknown func|program of this type cannot use helper) (?P<helper>\w+)(?:#\d+)?",
        "Programs of this kind may not call {helper}: each program type has its own list of helpers.",
        "attach it elsewhere (another type of program), or do without this helper",
    ),
    explain(
        r"invalid func (?P<helper>\w+#?\d*)",
        "This kernel has no helper of that number: it is newer than the kernel, or the number is wrong.",
        "use a helper that this kernel has; `ebpftop check` says which kernel this is",
    ),
    explain(
        r"cannot pass map_type (?P<type>\d+) into func (?P<helper>\w+)",
        "{helper} does not work with this kind of map.",
        "a BPF_HASH or BPF_ARRAY has lookup and update, a BPF_PROG_ARRAY call, a BPF_PERF_OUTPUT perf_submit, a ring "
        "buffer ringbuf_output",
    ),
    explain(
        r"expected prog array map for tail call",
        "A tail call goes through a BPF_PROG_ARRAY; this map is another kind.",
        "BPF_PROG_ARRAY(calls, 8); and calls.call(ctx, index)",
    ),
    explain(
        r"Unreleased reference id=\d+ alloc_insn=(?P<insn>\d+)|BPF_EXIT instruction .* would lead to reference leak|"
        r"tail_call would lead to reference leak",
        "What was reserved or taken ({made}) is not given back on this path: the program returns without it.",
        "before each return: ring.ringbuf_discard({it}, 0); or submit it",
    ),
    explain(
        r"helper call might sleep in a non-sleepable prog|helper call is not allowed in (?:probe|non-sleepable)|"
        r"program .* sleepable",
        "{call} may have to wait (for memory of the process, say), and a program at this place may not.",
        "use one that does not wait: bpf_probe_read_user instead of bpf_copy_from_user",
    ),
    explain(
        r"cannot call GPL(?:-| )restricted function from non-?GPL compatible program|cannot call GPL only function",
        "{call} is only for programs under the GPL, and this one says that it has another licence.",
        "#define BPF_LICENSE GPL (or leave the line out: BCC says GPL if nothing is said)",
    ),
    # ---- types of arguments ----
    explain(
        rf"{REGISTER} type=\S+ expected=ctx",
        "The first argument of {call} has to be the ctx that the program was given.",
        "pass ctx itself: output.perf_submit(ctx, &data, sizeof(data)), and hand ctx on to functions that need it",
    ),
    explain(
        rf"{REGISTER} type={NUMBER} expected=(?P<expected>(?:map_ptr|map_ptr_).*)",
        "{call} needs a map here, and gets a number.",
        "call the method of the map: table.lookup(&key)",
    ),
    explain(
        rf"{REGISTER} type={NUMBER} expected=(?P<expected>.*)",
        "{call} needs the address of memory that it may use (argument {register}), and gets a number.",
        "pass the address of a variable: &key, not key",
    ),
    explain(
        rf"{REGISTER} type=(?P<kind>\S+) expected=(?P<expected>.*)",
        "Argument {register} of {call} is {kind}, and has to be one of: {expected}.",
        "copy it into a variable on the stack and pass its address: u64 key = *p; .. &key",
    ),
    explain(
        r"R\d+ is of type (?P<kind>\w+) but (?P<expected>\w+) is expected|R\d+ must (?:be|have) (?:referenced|a rcu|"
        r"an allocated).*",
        "{call} needs another kind of pointer than this one.",
        "see what type the function's argument has",
    ),
    # ---- context and return ----
    explain(
        r"invalid bpf_context access off=(?P<at>-?\d+) size=(?P<size>\d+)",
        "Offset {at} of the context cannot be accessed by this kind of program: it is beyond what the program gets, "
        "or it may only be read.",
        "read only members that the context has here (a raw tracepoint: as many args as the tracepoint), and write "
        "none",
    ),
    explain(
        r"dereference of modified ctx ptr|negative offset ctx ptr|variable ctx access",
        "The context may only be read at constant offsets from its start: no index that varies, no pointer into it.",
        "read the member that you need into a variable first: u64 a = ctx->args[1];",
    ),
    explain(
        r"At (?:program exit|async callback return) the register R0 .*should have been in (?P<range>.*)|"
        r"R0 invalid .*return value.*|At program exit the register R0 is not a known value|"
        r"R0 invalid return value",
        "The value that this program returns is not one that the kernel accepts here{in_range}.",
        "return 0; (or another value in that range)",
    ),
    # ---- pointers as numbers ----
    explain(
        rf"{REGISTER} leaks addr(?:ess)? (?P<where>.*)|R\d+ leaks addr",
        "An address of the kernel would become visible ({where}): only privileged programs may do that.",
        "return or store a number, not a pointer; or load as root",
    ),
    explain(
        rf"{REGISTER} (?:32-bit pointer arithmetic|bitwise operator \S+ on pointer|pointer arithmetic with \S+|"
        r"pointer (?:-=|\+=) pointer|pointer arithmetic|tried to (?:add|subtract|sub)).*(?:prohibited|disallowed|"
        r"pointer)",
        "{it} is a pointer, and this is not something that may be done with one: numbers may be added to it, and no "
        "more.",
        "calculate with a number, and add it to the pointer at the end; do not cast pointers to smaller types",
    ),
    explain(
        r"cannot write into (?:rdonly|read-only)|write into map forbidden|only read is supported|"
        rf"{REGISTER} cannot write into",
        "This memory may only be read: it belongs to the kernel.",
        "copy it into a variable, and change that",
    ),
    explain(
        r"access beyond (?:struct|the end of member|.*)(?P<what>\w*) at off (?P<at>\d+)|"
        r"R\d+ is (?P<kind>\w+) invalid negative access|cannot access ptr member|access beyond",
        "There is no such member in this structure of the kernel at that offset.",
        "use members of the structure by name; their offsets differ between kernels",
    ),
    explain(
        r"BPF_(?:XADD|ATOMIC|STX|ST) stores? into R\d+ (?P<kind>\w+) is not allowed|R\d+ (?P<other>\w+) is not allowed",
        "An atomic operation works on values of maps and on the stack only.",
        "lock_xadd(&value->count, 1) on a value of a map",
    ),
    explain(r"div(?:ision)? by zero", "This divides by the constant 0.", "divide by something else, or test it first"),
    explain(r"frame pointer is read only", "r10 points to the stack and may not be changed.", "use another register"),
    explain(
        r"unknown opcode 8d",
        "This calls through a pointer, which BPF cannot: usually an operation of a map in a file that is included. BCC "
        "translates maps, and -> of the kernel's structures, in the file itself only.",
        "move the function into the file; keep structures, constants and simple functions in the other",
    ),
    explain(
        r"unknown opcode|BPF_\w+ uses reserved fields|invalid BPF_LD_IMM|invalid BPF_LD",
        "The kernel does not know this instruction: the compiler made it for a newer kernel.",
        "compile for an older instruction set: -mcpu=v1 or v2",
    ),
    explain(
        r"fd \d+ is not pointing to valid bpf_map|bad (?:map )?fd|unrecognized bpf_ld_imm64",
        "The program uses a map that does not exist.",
        "declare the map outside of all functions",
    ),
    explain(
        r"bpf_spin_lock|(?:tracing progs?|tracing progs) cannot use bpf_spin_lock",
        "Programs that trace may not use this lock.",
        "use a per-CPU map, or lock_xadd",
    ),
    explain(
        r"attach_btf_id \d+ is (?:not a function|invalid)|Invalid attach_btf_id|is not (?:a )?(?:sleepable|modifiable)",
        "The kernel has no function of that name to which this kind of program could be attached.",
        "see whether it is in /sys/kernel/btf; a kprobe or a tracepoint may do",
    ),
    explain(
        r"kernel subsystem misconfigured (?:verifier|func)|verifier bug",
        "The verifier itself is in trouble: a bug of this kernel.",
        "change the line a little; report it to those who make the kernel",
    ),
)

EXPLANATIONS: tuple[Explanation, ...] = (*MEMORY, *_PROGRAM)
"""The first that matches a message is the one: what is special comes before what is general."""

GLOBAL_VARIABLE = explain(
    "",
    "This uses a global or static variable, or a text or table that is chosen while it runs: BCC has no memory for "
    "these, so the "
    "address is 0.",
    "keep a variable in a map: BPF_ARRAY(seen, u64, 1); and choose a text with if",
)
"""Of an invalid access at an address that is the constant 0."""

ERRORS: dict[str, tuple[str, str]] = {
    "EPERM": (
        "The kernel does not allow this program, without saying why: usually rights that are missing, or a type of "
        "program that it "
        "has switched off.",
        "run it as root; `ebpftop check` says what this kernel allows",
    ),
    "EACCES": ("The kernel does not allow what this program does.", "run it as root, and see the whole log"),
    "E2BIG": (
        "The program has more instructions than the kernel accepts, or the verifier walked more than a million.",
        "make it smaller, or split it with a tail call",
    ),
    "EINVAL": (
        "The kernel refuses the program without a reason: usually a type of program, a flag or an attach point that "
        "it does not know.",
        "attach it in another way; see whether the kernel is new enough",
    ),
    "ENOMEM": ("The kernel had not enough memory, or too little may be locked.", "make its maps smaller"),
    "ENOTSUPP": ("This kernel does not support what the program asks for.", "attach it in another way"),
    "ENOENT": (
        "Something that the program refers to is not in this kernel.",
        "see the name of the function or the event",
    ),
}
"""Of a refusal without a message, by the name of the error number: what it means, and what to try."""


def explanation(message: str) -> tuple[Explanation, re.Match[str]] | None:
    """Return what is known about a message, and how it matched; None if nothing is."""
    for one in EXPLANATIONS:
        if match := one.pattern.search(message):
            return one, match
    return None
