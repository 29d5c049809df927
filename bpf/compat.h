/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The ABI by which a program calls the kernel, and which of its calls are execve and execveat.
 */
#ifndef EBPFTOP_COMPAT_H
#define EBPFTOP_COMPAT_H

#define X32_BIT 0x40000000
#define AT_EXECVE_CHECK 0x10000

/* What the kernel hands to a program at a tracepoint syscalls:sys_enter_* and sys_exit_*: their `format` in tracefs. */
struct enter_tracepoint {
	u64 common;
	u64 nr;
	u64 args[6];
};

struct exit_tracepoint {
	u64 common;
	u64 nr;
	s64 ret;
};

enum abi { ABI_NATIVE, ABI_COMPAT, ABI_X32 };

/* In a 32-bit call: a 32-bit program's, or one that a 64-bit program makes by `int $0x80`. */
INLINE bool in_compat_call(void)
{
#ifdef OFF_TASK_COMPAT
	return load_u32(current_task(), OFF_TASK_COMPAT) & COMPAT_MASK;
#else
	return false;
#endif
}

struct exec_call {
	enum abi abi;
	bool is_execveat;
};

/* Runs at every call of the machine. 11 is execve on i386, and munmap on x86-64. */
INLINE bool may_be_exec(u64 nr)
{
#ifdef HAVE_X32
	if (nr == NR_X32_EXECVE || nr == NR_X32_EXECVEAT)
		return true;
#endif
	return nr == NR_EXECVE || nr == NR_EXECVEAT || nr == NR_COMPAT_EXECVE || nr == NR_COMPAT_EXECVEAT;
}

INLINE bool is_exec(u64 nr, struct exec_call *call)
{
	if (!may_be_exec(nr))
		return false;
#ifdef HAVE_X32
	if (nr & X32_BIT) {
		call->abi = ABI_X32;
		call->is_execveat = nr == NR_X32_EXECVEAT;
		return true;
	}
#endif
	bool compat = in_compat_call();

	call->abi = compat ? ABI_COMPAT : ABI_NATIVE;
	call->is_execveat = nr == (compat ? NR_COMPAT_EXECVEAT : NR_EXECVEAT);
	return call->is_execveat || nr == (compat ? NR_COMPAT_EXECVE : NR_EXECVE);
}

/* Whether an execveat with *flags* only checks if a file may be executed (Linux 6.14): then it starts nothing. */
INLINE bool only_checks(struct exec_call call, u64 flags)
{
	return call.is_execveat && flags & AT_EXECVE_CHECK;
}

/* The fifth argument of the system call with the registers *regs*. */
INLINE u64 fifth_argument(const void *regs, enum abi abi)
{
	return abi == ABI_COMPAT ? read_u32(regs, OFF_REGS_COMPAT_ARG5) : read_u64(regs, OFF_REGS_ARG5);
}

/* The calls that x86's and arm64's syscalls:* tracepoints skip. */
INLINE bool skipped_by_tracepoints(u64 nr)
{
#ifdef HAVE_X32
	if (nr & X32_BIT)
		return true;
#endif
	return in_compat_call();
}

#ifdef HAVE_TASK_REGISTERS
/*
 * The user's registers at the system call that the current task *task* is in. bpf_task_pt_regs (5.15) by number: BCC's
 * older versions do not name it. Outside of a call the result may be anything.
 */
INLINE void *registers_of(char *task)
{
	return ((void *(*)(void *))175)(task);
}
#endif

#endif
