/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * execve calls that fail, from every place where that can be seen: a program for each. execs_failed_kept.h: what is kept
 * of a call while it runs; execs_failed_report.h: what is reported when it has failed. Included by execs.c.
 */
#include "execs_failed_report.h"
#include "execs_failed_kept.h"

#ifdef HAVE_PREPARE_EXEC
#define KEEPS_AT_ENTRY false
#else
#define KEEPS_AT_ENTRY true

/* The tracepoint sched_prepare_exec is in this function since 6.10. */
#ifdef WITH_FENTRY
FENTRY(begin_new_exec, void *bprm)
{
	return note_now(read_pointer(ctx, 0));
}
#endif
#ifdef WITH_KPROBES
int failed_kprobe_begin(struct pt_regs *ctx)
{
	return note_now((void *)PT_REGS_PARM1(ctx));
}
#endif
#endif

#ifdef WITH_FENTRY
/* Linux 5.10's BTF only declares the type of some of these arguments, and its verifier refuses to read those by
 * name. */
#define FAILED_AT(function, abi, is_execveat)                                                      \
	FENTRY(function, void *regs)                                                               \
	{                                                                                          \
		return remember(attempt_of(read_pointer(ctx, 0), false, abi, is_execveat), false); \
	}                                                                                          \
	FEXIT(function, void *regs, long ret)                                                      \
	{                                                                                          \
		return returned(ctx, ret);                                                         \
	}

FAILED_AT(SYS_EXECVE, ABI_NATIVE, false)
FAILED_AT(SYS_EXECVEAT, ABI_NATIVE, true)
#ifdef SYS_COMPAT_EXECVE
FAILED_AT(SYS_COMPAT_EXECVE, ABI_COMPAT, false)
FAILED_AT(SYS_COMPAT_EXECVEAT, ABI_COMPAT, true)
#endif
#ifdef SYS_X32_EXECVE
FAILED_AT(SYS_X32_EXECVE, ABI_X32, false)
FAILED_AT(SYS_X32_EXECVEAT, ABI_X32, true)
#endif
#endif

#ifdef WITH_KPROBES
#define REMEMBERED_BY(name, abi, is_execveat)                                                            \
	int name(struct pt_regs *ctx)                                                                    \
	{                                                                                                \
		return remember(attempt_of((void *)PT_REGS_PARM1(ctx), false, abi, is_execveat), false); \
	}

REMEMBERED_BY(failed_kprobe_native_execve, ABI_NATIVE, false)
REMEMBERED_BY(failed_kprobe_native_execveat, ABI_NATIVE, true)
REMEMBERED_BY(failed_kprobe_compat_execve, ABI_COMPAT, false)
REMEMBERED_BY(failed_kprobe_compat_execveat, ABI_COMPAT, true)
REMEMBERED_BY(failed_kprobe_x32_execve, ABI_X32, false)
REMEMBERED_BY(failed_kprobe_x32_execveat, ABI_X32, true)

int failed_kretprobe(struct pt_regs *ctx)
{
	return returned(ctx, PT_REGS_RC(ctx));
}
#endif

#ifdef WITH_TRACEPOINTS
/* syscalls/sys_enter_execve(at)/format, syscalls/sys_exit_execve(at)/format */
int failed_enter_execve(struct enter_tracepoint *ctx)
{
	return remember(
		(struct attempt){
			.file = ctx->args[0],
			.argv = ctx->args[1],
			.dirfd = AT_FDCWD,
			.pointer_size = 8,
			.call = CALL_OF(ABI_NATIVE, false),
		},
		KEEPS_AT_ENTRY);
}

int failed_enter_execveat(struct enter_tracepoint *ctx)
{
	return remember(
		(struct attempt){
			.file = ctx->args[1],
			.argv = ctx->args[2],
			.dirfd = ctx->args[0],
			.pointer_size = ctx->args[4] & AT_EXECVE_CHECK ? 0 : 8,
			.call = CALL_OF(ABI_NATIVE, true),
		},
		KEEPS_AT_ENTRY);
}

int failed_exit(struct exit_tracepoint *ctx)
{
	return returned(ctx, ctx->ret);
}
#endif

#if defined(WITH_RAW_SYSCALLS) && !defined(HAVE_PREPARE_EXEC)
/* From dispatch_on_sys_enter. raw tracepoint args: registers, number */
int failed_raw_enter(struct bpf_raw_tracepoint_args *ctx)
{
	struct exec_call call;

	if (is_exec(ctx->args[1], &call))
		remember(attempt_of((void *)ctx->args[0], false, call.abi, call.is_execveat), KEEPS_AT_ENTRY);
	return go_on_at_sys_enter(ctx, DISPATCH_SYSCALLS);
}
#endif

/*
 * From dispatch_on_sys_exit. raw tracepoint args: registers, return value. A return without an entry is a failure too:
 * one that seccomp denied, that began before the program did, or that came before sched_prepare_exec. An execve that
 * fails late has become a call of its new program's ABI on x86 (set_personality_*), and only the number of one on arm64.
 */
INLINE int on_raw_exit(struct bpf_raw_tracepoint_args *ctx, bool only_skipped)
{
	long ret = ctx->args[1];
	void *regs = (void *)ctx->args[0];
	u32 nr = read_u32(regs, OFF_REGS_NR);
	struct exec_call call;

	if (ret >= 0 || (only_skipped && !skipped_by_tracepoints(nr)))
		return 0;
	u64 task = bpf_get_current_task();
	struct attempt attempt;

	if (!pop_attempt(task, &attempt)) {
		/* The tracepoints have no registers at the exit, so they miss such calls of the native ABI. Do the
		 * same here. */
		if (only_skipped || !is_exec(nr, &call))
			return 0;
		attempt = attempt_of(regs, false, call.abi, call.is_execveat);
	}
	return attempt_returned(ctx, task, attempt, ret);
}

#ifdef WITH_RAW_SYSCALLS
int failed_raw(struct bpf_raw_tracepoint_args *ctx)
{
	on_raw_exit(ctx, false);
	return go_on_at_sys_exit(ctx, DISPATCH_SYSCALLS);
}
#endif

#ifdef WITH_TRACEPOINTS
/* What syscalls:* tracepoints skip. */
int failed_skipped_enter(struct bpf_raw_tracepoint_args *ctx)
{
	struct exec_call call;

	if (is_exec(ctx->args[1], &call) && call.abi != ABI_NATIVE)
		remember(attempt_of((void *)ctx->args[0], false, call.abi, call.is_execveat), KEEPS_AT_ENTRY);
	return go_on_at_sys_enter(ctx, DISPATCH_SYSCALLS);
}

int failed_skipped(struct bpf_raw_tracepoint_args *ctx)
{
	on_raw_exit(ctx, true);
	return go_on_at_sys_exit(ctx, DISPATCH_SYSCALLS);
}
#endif

#if (defined(WITH_FENTRY) || defined(WITH_KPROBES) || defined(WITH_TRACEPOINTS)) && defined(HAVE_PREPARE_EXEC)
/* raw tracepoint args: task, linux_binprm */
int failed_prepare_again(struct bpf_raw_tracepoint_args *ctx)
{
	return note_now((void *)ctx->args[1]);
}
#endif

#if defined(WITH_RAW_SYSCALLS) && defined(HAVE_PREPARE_EXEC)
/*
 * raw tracepoint args: task, linux_binprm. Just before the point of no return: a cheaper entry for calls that can fail
 * late. The kernel starts programs of its own too, which are not calls of any process.
 */
int failed_prepare(struct bpf_raw_tracepoint_args *ctx)
{
	char *task = current_task();
	void *regs = registers_of(trusted_current_task());
	struct exec_call call;

	if (!is_exec(load_u32(regs, OFF_REGS_NR), &call))
		return 0;
	struct attempt attempt = attempt_of(regs, true, call.abi, call.is_execveat);

	attempt.mm = load_u64(task, OFF_TASK_MM);
	if (!filter_matches(load_u32(task, OFF_TASK_TGID), NULL))
		attempt.pointer_size = 0;
	else
		note_program(task, &attempt, (void *)ctx->args[1]);
	put_attempt((u64)task, &attempt);
	return 0;
}
#endif
