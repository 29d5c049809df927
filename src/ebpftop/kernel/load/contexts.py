"""What the context of a program holds, by where it hangs: words of 64 bits.

- kprobe, kretprobe: the registers. The function of a system call (__x64_sys_*) has one argument: the registers of the
  call
- fentry, fexit: the arguments of the function, behind them what it returns (as BPF_PROG of libbpf has it)
- tracepoint syscalls:sys_enter_*: word 1 is the number, from word 2 on the arguments; sys_exit_*: word 2 is the result
- raw tracepoint sys_enter, also by its BTF (tp_btf): the registers, the number; sys_exit: the registers, the result
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["kprobe", "kretprobe", "fentry", "fexit", "tracepoint", "raw_tracepoint", "tp_btf"]

PREAMBLE = """\
#define __EB_WORD(ctx, n) (((struct bpf_raw_tracepoint_args *)(ctx))->args[n])
#define __EB_READ(from) \\
	({ unsigned long __eb_v = 0; bpf_probe_read_kernel(&__eb_v, sizeof(__eb_v), (from)); __eb_v; })
#define __EB_TRACED(ctx) __EB_READ(&((struct bpf_raw_tracepoint_args *)(ctx))->args[0])
#define __EB_REGS(of) ((struct pt_regs *)(unsigned long)(of))
#if defined(bpf_target_x86)
#define __EB_ARG1(of) __EB_READ(&__EB_REGS(of)->di)
#define __EB_ARG2(of) __EB_READ(&__EB_REGS(of)->si)
#define __EB_ARG3(of) __EB_READ(&__EB_REGS(of)->dx)
#define __EB_ARG4(of) __EB_READ(&__EB_REGS(of)->r10)
#define __EB_ARG5(of) __EB_READ(&__EB_REGS(of)->r8)
#define __EB_ARG6(of) __EB_READ(&__EB_REGS(of)->r9)
#define __EB_NR(of) __EB_READ(&__EB_REGS(of)->orig_ax)
#define __EB_FIRST(ctx) (((struct pt_regs *)(ctx))->di)
#elif defined(bpf_target_arm64)
#define __EB_ARG1(of) __EB_READ(&__EB_REGS(of)->orig_x0)
#define __EB_ARG2(of) __EB_READ(&__EB_REGS(of)->regs[1])
#define __EB_ARG3(of) __EB_READ(&__EB_REGS(of)->regs[2])
#define __EB_ARG4(of) __EB_READ(&__EB_REGS(of)->regs[3])
#define __EB_ARG5(of) __EB_READ(&__EB_REGS(of)->regs[4])
#define __EB_ARG6(of) __EB_READ(&__EB_REGS(of)->regs[5])
#define __EB_NR(of) (unsigned int)__EB_READ(&__EB_REGS(of)->syscallno)
#define __EB_FIRST(ctx) (((struct pt_regs *)(ctx))->regs[0])
#endif
"""
"""What adapted programs use. Put before the first line of a text that `adapted` changed.

On arm64 the result of a call takes the place of its first argument, which stays in orig_x0 (arch/arm64/include/asm/
syscall_wrapper.h).
"""

ARGUMENTS_MAX = 6
"""So many arguments are in registers."""
ONE_ARGUMENT = (
    "the kernel's function of a system call has one argument, the registers of the call (struct pt_regs *): "
    "attach it to syscall:NAME to have the arguments of the call"
)

_WITH_REGISTERS = frozenset(("kprobe", "fentry", "fexit", "raw_tracepoint", "tp_btf"))
"""The kinds that have the registers of a system call at hand."""
_CALLS = frozenset(("syscall", "syscall_exit"))
_EXITS = frozenset(("syscall_exit", "kretprobe", "fexit"))
_BY_BTF = frozenset(("fentry", "fexit", "tp_btf"))


class NotAdaptable(Exception):
    """A program that cannot be made into one of that kind: which one, and why."""

    def __init__(self, reason: str, function: str = "") -> None:
        super().__init__(reason)
        self.function = function


@dataclass(frozen=True, slots=True)
class Context:
    """What a program of *kind* finds that was written for *event*, a kind of events.

    *count* is the number of arguments of the kernel function at whose return it hangs, if it is known. *wrapper*: it
    was written for the kernel's function of a system call, whose one argument are the registers of the call.
    """

    event: str
    kind: Kind
    count: int | None = None
    wrapper: bool = False

    @property
    def is_call(self) -> bool:
        """Whether it is about system calls."""
        return self.event in _CALLS

    @property
    def is_exit(self) -> bool:
        """Whether it is about the return of something."""
        return self.event in _EXITS

    def argument(self, number: int, name: str) -> str:
        """Return the *number*-th argument, from 1, if *name* is the context. Raises NotAdaptable."""
        if self.is_exit:
            raise NotAdaptable("the arguments are not known where it returns")
        if self.wrapper:
            if number > 1:
                raise NotAdaptable(ONE_ARGUMENT)
            return self.registers(name)
        if not self.is_call and self.kind != "fentry":
            raise NotAdaptable(f"a {self.kind} does not have the arguments of a kernel function")
        if not self.is_call:
            return f"__EB_WORD({name}, {number - 1})"
        if self.kind == "tracepoint":
            return f"__EB_WORD({name}, {number + 1})"
        return f"__EB_ARG{number}({self.registers(name)})"

    def result(self, name: str) -> str:
        """Return what was returned. Raises NotAdaptable."""
        if not self.is_exit:
            raise NotAdaptable("nothing was returned yet where it enters")
        if self.is_call:
            at = {"fexit": 1, "raw_tracepoint": 1, "tp_btf": 1, "tracepoint": 2}.get(self.kind)
        else:
            at = self.count if self.kind == "fexit" else None
        if at is None:
            raise NotAdaptable(f"what the function returns is not known to a {self.kind}")
        return f"(long)__EB_WORD({name}, {at})"

    def anything(self, name: str) -> str:
        """Return a word of the context. A pointer that BCC sees to come from there is read by a helper, as it needs.

        (src/cc/frontends/clang/b_frontend_action.cc, `ProbeVisitor::IsContextMemberExpr`)
        """
        return f"__EB_FIRST({name})" if self.kind == "kprobe" else f"__EB_WORD({name}, 0)"

    def registers(self, name: str) -> str:
        """Return a pointer to the registers of the system call. Raises NotAdaptable."""
        if not self.is_call or self.kind not in _WITH_REGISTERS:
            raise NotAdaptable(f"a {self.kind} does not have the registers of a call")
        if self.kind in _BY_BTF:
            # BTF of Linux 5.10 may not say what struct pt_regs is: then the verifier refuses to load the word.
            return f"__EB_TRACED({name})"
        return f"__EB_FIRST({name})" if self.kind == "kprobe" else f"__EB_WORD({name}, 0)"

    def call_number(self, name: str) -> str:
        """Return the number of the system call, at a raw tracepoint of all."""
        return f"__EB_NR({self.registers(name)})" if self.is_exit else f"__EB_WORD({name}, 1)"
