/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * execve calls that fail, from every place where that can be seen: a room of execs.c.
 */

INLINE bool is_compat(void *task)
{
#ifdef OFF_TASK_STATUS
	return read_u32(task, OFF_TASK_STATUS) & 2; /* TS_COMPAT, arch/x86/include/asm/thread_info.h */
#else
	return false;
#endif
}

/*
 * Both run when execve has returned: then what the kernel has read of the path and argv is resident, while at entry
 * much of it may not be.
 */
INLINE int exec_failed(void *ctx, struct attempt attempt, long ret)
{
	u32 cpu = bpf_get_smp_processor_id();
	struct scratch *scratch = failed_scratch.lookup(&cpu);
	void *task = (void *)bpf_get_current_task();

	if (ret >= 0 || ret < -4095 || !wanted())
		return 0;
	count_seen(EVENT_FAILED);
	if (!scratch) {
		count_lost(LOST_MAP);
		return 0;
	}
	struct event *event = &scratch->head;

	event->kind = EVENT_FAILED;
	event->ret = ret;
	event->interp_len = 0;
	fill_identity(event, task);
	fill_context(event, task);

	long file_len = read_user_string(scratch->data, PATH_LEN, (void *)attempt.file);
	u64 at = file_len > 0 ? file_len : 0;

	event->file_len = at;
	event->cgroup_len = append_cgroup(scratch, at, task);
	at = through_memory(scratch, at + event->cgroup_len);

	u64 from = at;
	u64 stride = is_compat(task) ? 4 : 8;

	scratch->end = attempt.argv ? NOT_ENDED : ENDED;
	stride = through_memory(scratch, stride);
	BOUND(stride, 15);
	if (stride > 8)
		return 0;
#pragma nounroll
	for (int i = 0; attempt.argv && i < FAILED_ARGS; i++) {
		u64 argument = 0;

		if (read_user(&argument, stride, (void *)(attempt.argv + stride * i))) {
			scratch->end = UNREADABLE;
			break;
		}
		if (!argument) {
			scratch->end = ENDED;
			break;
		}
		BOUND(at, FAILED_MASK);
		long len = read_user_string(scratch->data + at, FAILED_ARG_LEN, (void *)argument);

		if (len < 0) {
			scratch->end = UNREADABLE;
			break;
		}
		at = through_memory(scratch, at + len);
		if (len == FAILED_ARG_LEN || at > FAILED_MASK)
			break;
	}
	at = through_memory(scratch, at);
	if (scratch->end == UNREADABLE || file_len < 0) {
		event->flags |= ARGV_UNREADABLE;
		count_lost(LOST_ARGV);
	} else if (scratch->end == NOT_ENDED) {
		event->flags |= ARGV_TRUNCATED;
	}
	u64 argv_len = at - from;

	BOUND(from, HEAD_MASK);
	if (argv_len > FAILED_MASK + FAILED_ARG_LEN)
		return 0;
	send(ctx, scratch, from, argv_len);
	return 0;
}

INLINE int remember(const void *file, const void *argv)
{
	u64 thread = bpf_get_current_pid_tgid();
	struct attempt attempt = {.file = (u64)file, .argv = (u64)argv};

	if (wanted() && attempts.update(&thread, &attempt))
		count_lost(LOST_MAP);
	return 0;
}

INLINE int returned(void *ctx, long ret)
{
	u64 thread = bpf_get_current_pid_tgid();
	struct attempt *attempt = attempts.lookup(&thread);

	if (!attempt)
		return 0;
	struct attempt copy = *attempt;

	attempts.delete(&thread);
	return exec_failed(ctx, copy, ret);
}

/* A syscall's kernel function takes the user's registers as its only argument. */
INLINE struct attempt attempt_of(const void *regs, bool at_function)
{
	return at_function ? (struct attempt){.file = read_u64(regs, OFF_REGS_ARG2), .argv = read_u64(regs, OFF_REGS_ARG3)}
			   : (struct attempt){.file = read_u64(regs, OFF_REGS_ARG1), .argv = read_u64(regs, OFF_REGS_ARG2)};
}

INLINE struct attempt attempt_of_compat(const void *regs, bool at_function)
{
	return at_function ? (struct attempt){.file = read_u32(regs, OFF_REGS_COMPAT_ARG2), .argv = read_u32(regs, OFF_REGS_COMPAT_ARG3)}
			   : (struct attempt){.file = read_u32(regs, OFF_REGS_COMPAT_ARG1), .argv = read_u32(regs, OFF_REGS_COMPAT_ARG2)};
}

#ifdef WITH_FENTRY
FEXIT(SYS_EXECVE, void *regs, long ret)
{
	return exec_failed(ctx, attempt_of(regs, false), ret);
}

/* Linux 5.10's BTF only declares the type of this argument, and its verifier lets nobody read such a one from ctx[0]. */
FEXIT(SYS_EXECVEAT, void *regs, long ret)
{
	return exec_failed(ctx, attempt_of(read_pointer(ctx, 0), true), ret);
}
#endif

#ifdef WITH_KPROBES
int failed_kprobe_execve(struct pt_regs *ctx)
{
	struct attempt attempt = attempt_of((void *)PT_REGS_PARM1(ctx), false);

	return remember((void *)attempt.file, (void *)attempt.argv);
}

int failed_kprobe_execveat(struct pt_regs *ctx)
{
	struct attempt attempt = attempt_of((void *)PT_REGS_PARM1(ctx), true);

	return remember((void *)attempt.file, (void *)attempt.argv);
}

int failed_kretprobe(struct pt_regs *ctx)
{
	return returned(ctx, PT_REGS_RC(ctx));
}
#endif

/* syscalls/sys_enter_execve(at)/format, syscalls/sys_exit_execve(at)/format */
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

int failed_enter_execve(struct enter_tracepoint *ctx)
{
	return remember((void *)ctx->args[0], (void *)ctx->args[1]);
}

int failed_enter_execveat(struct enter_tracepoint *ctx)
{
	return remember((void *)ctx->args[1], (void *)ctx->args[2]);
}

int failed_exit(struct exit_tracepoint *ctx)
{
	return returned(ctx, ctx->ret);
}

#ifdef WITH_RAW_SYS_EXIT
/* raw tracepoint args: registers, return value. A successful execveat leaves under the number of execve. */
int failed_raw(struct bpf_raw_tracepoint_args *ctx)
{
	long ret = ctx->args[1];

	if (ret >= 0)
		return 0;
	void *regs = (void *)ctx->args[0];
	u32 nr = read_u32(regs, OFF_REGS_NR);
	bool compat = is_compat((void *)bpf_get_current_task());
	struct attempt attempt;

	if (nr == (compat ? NR_COMPAT_EXECVE : NR_EXECVE))
		attempt = compat ? attempt_of_compat(regs, false) : attempt_of(regs, false);
	else if (nr == (compat ? NR_COMPAT_EXECVEAT : NR_EXECVEAT))
		attempt = compat ? attempt_of_compat(regs, true) : attempt_of(regs, true);
	else
		return 0;
	return exec_failed(ctx, attempt, ret);
}
#endif
