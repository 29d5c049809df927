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
 * Read the strings of *argv* behind each other to *to*, from *position on, which moves along: at most *most* of them,
 * each of at most *longest* bytes with its NUL, none from beyond *mask* (a power of two less 1). *position lies in a map: see
 * through_memory(). Returns what of enum event_flag holds.
 */
INLINE u32 read_arguments(char *to, u64 mask, u32 longest, int most, u64 argv, u64 stride, volatile u64 *position)
{
	if (!argv)
		return 0;
#pragma nounroll
	for (int i = 0; i <= most; i++) {
		u64 argument = 0;
		u64 at = *position;

		if (read_user(&argument, stride, (void *)(argv + stride * i)))
			return ARGV_UNREADABLE;
		if (!argument)
			return 0;
		if (i == most || at > mask)
			return ARGV_TRUNCATED;
		asm volatile("%0 &= %1" : "+r"(at) : "r"(mask));
		long len = read_user_string(to + at, longest + 1, (void *)argument);

		if (len < 0)
			return ARGV_UNREADABLE;
		*position = at + len;
		if (len > longest)
			return ARGV_TRUNCATED;
	}
	return ARGV_TRUNCATED;
}

INLINE u64 stride_of(void *task, volatile u64 *position)
{
	*position = is_compat(task) ? 4 : 8;
	u64 stride = *position;

	BOUND(stride, 15);
	return stride > 8 ? 8 : stride;
}

/*
 * Runs when execve has returned: then what the kernel has read of the path and argv is resident, while at entry much of
 * it may not be. *kept*, which may be NULL, is what was read at entry nevertheless.
 */
INLINE int exec_failed(void *ctx, struct attempt attempt, const struct kept *kept, long ret)
{
	u32 cpu = bpf_get_smp_processor_id();
	struct scratch *scratch = failed_scratch.lookup(&cpu);
	void *task = (void *)bpf_get_current_task();

	/* The filter took the caller when it was asked, or is asked now: a failed execve may have changed the name. */
	if (ret >= 0 || ret < -4095 || (!attempt.mm && !wanted()))
		return 0;
	count_seen(EVENT_FAILED);
	if (!scratch) {
		count_lost(LOST_MAP);
		return 0;
	}
	struct event *event = &scratch->head;
	bool replaced = attempt.mm && attempt.mm != read_u64(task, OFF_TASK_MM);
	u64 at = 0;

	event->kind = EVENT_FAILED;
	event->ret = ret;
	event->interp_len = 0;
	fill_identity(event, task);
	fill_context(event, task);
	event->dirfd = attempt.dirfd;
	if (!replaced) {
		long len = read_user_string(scratch->data, PATH_LEN + 1, (void *)attempt.file);

		at = len > 0 ? len : 0;
		if (len < 0 || len > PATH_LEN)
			event->flags |= FILE_CUT;
	} else if (kept) {
		long len = bpf_probe_read_kernel_str(scratch->data, KEPT_PATH + 1, kept->file);

		at = len > 0 ? len : 0;
		event->flags |= kept->flags;
		bpf_probe_read_kernel(event->comm, COMM_LEN, kept->comm);
	} else {
		event->flags |= FILE_CUT | ARGV_UNREADABLE;
	}
	at = through_memory(scratch, at);
	event->file_len = at;
	event->cgroup_len = append_cgroup(scratch, at, task);
	at = through_memory(scratch, at + event->cgroup_len);

	u64 from = at;

	if (!replaced) {
		u64 stride = stride_of(task, &scratch->at);

		scratch->at = from;
		event->flags |= read_arguments(scratch->data, FAILED_MASK, FAILED_ARG_LEN, FAILED_ARGS, attempt.argv, stride,
					       &scratch->at);
		at = *(volatile u64 *)&scratch->at;
	} else if (kept) {
		u64 len = kept->argv_len;

		BOUND(at, FAILED_MASK);
		if (len < sizeof(kept->argv)) {
			bpf_probe_read_kernel(scratch->data + at, len, kept->argv);
			at = through_memory(scratch, at + len);
		}
	}
	if (event->flags & ARGV_UNREADABLE)
		count_lost(LOST_ARGV);
	u64 argv_len = at - from;

	BOUND(from, HEAD_MASK);
	if (argv_len > FAILED_MASK + FAILED_ARG_LEN + 1)
		return 0;
	send(ctx, scratch, from, argv_len);
	return 0;
}

/* Read what can be read now. */
INLINE void keep(u64 thread, struct attempt *attempt, void *task)
{
	u32 zero = 0;
	struct kept *kept = kept_scratch.lookup(&zero);

	if (!kept)
		return;
	long len = read_user_string(kept->file, KEPT_PATH + 1, (void *)attempt->file);

	kept->flags = len < 0 || len > KEPT_PATH ? FILE_CUT : 0;
	if (len < 0)
		kept->file[0] = 0;
	u64 stride = stride_of(task, &kept->argv_len);

	kept->argv_len = 0;
	kept->flags |= read_arguments(kept->argv, KEPT_MASK, KEPT_ARG_LEN, KEPT_ARGS, attempt->argv, stride, &kept->argv_len);
	bpf_get_current_comm(kept->comm, COMM_LEN);
	kept_attempts.update(&thread, kept);
}

INLINE int remember(struct attempt attempt)
{
	u64 thread = bpf_get_current_pid_tgid();
	void *task = (void *)bpf_get_current_task();

	if (!wanted())
		return 0;
	attempt.mm = read_u64(task, OFF_TASK_MM);
	if (attempts.update(&thread, &attempt))
		count_lost(LOST_MAP);
	else
		keep(thread, &attempt, task);
	return 0;
}

INLINE void returned(void *ctx, long ret)
{
	u64 thread = bpf_get_current_pid_tgid();
	struct attempt *attempt = attempts.lookup(&thread);

	if (!attempt)
		return;
	struct attempt copy = *attempt;

	attempts.delete(&thread);
	exec_failed(ctx, copy, kept_attempts.lookup(&thread), ret);
	kept_attempts.delete(&thread);
}

/* A syscall's kernel function takes the user's registers as its only argument. */
INLINE struct attempt attempt_of(const void *regs, bool at_function)
{
	u64 first = read_u64(regs, OFF_REGS_ARG1);
	u64 second = read_u64(regs, OFF_REGS_ARG2);

	if (!at_function)
		return (struct attempt){.file = first, .argv = second, .dirfd = AT_FDCWD};
	return (struct attempt){.file = second, .argv = read_u64(regs, OFF_REGS_ARG3), .dirfd = first};
}

INLINE struct attempt attempt_of_compat(const void *regs, bool at_function)
{
	u32 first = read_u32(regs, OFF_REGS_COMPAT_ARG1);
	u32 second = read_u32(regs, OFF_REGS_COMPAT_ARG2);

	if (!at_function)
		return (struct attempt){.file = first, .argv = second, .dirfd = AT_FDCWD};
	return (struct attempt){.file = second, .argv = read_u32(regs, OFF_REGS_COMPAT_ARG3), .dirfd = first};
}

#ifdef WITH_FENTRY
FENTRY(SYS_EXECVE, void *regs)
{
	return remember(attempt_of(regs, false));
}

FEXIT(SYS_EXECVE, void *regs, long ret)
{
	returned(ctx, ret);
	return 0;
}

/* Linux 5.10's BTF only declares the type of this argument, and its verifier lets nobody read such a one from ctx[0]. */
FENTRY(SYS_EXECVEAT, void *regs)
{
	return remember(attempt_of(read_pointer(ctx, 0), true));
}

FEXIT(SYS_EXECVEAT, void *regs, long ret)
{
	returned(ctx, ret);
	return 0;
}
#endif

#ifdef WITH_KPROBES
int failed_kprobe_execve(struct pt_regs *ctx)
{
	return remember(attempt_of((void *)PT_REGS_PARM1(ctx), false));
}

int failed_kprobe_execveat(struct pt_regs *ctx)
{
	return remember(attempt_of((void *)PT_REGS_PARM1(ctx), true));
}

int failed_kretprobe(struct pt_regs *ctx)
{
	returned(ctx, PT_REGS_RC(ctx));
	return 0;
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
	return remember((struct attempt){.file = ctx->args[0], .argv = ctx->args[1], .dirfd = AT_FDCWD});
}

int failed_enter_execveat(struct enter_tracepoint *ctx)
{
	return remember((struct attempt){.file = ctx->args[1], .argv = ctx->args[2], .dirfd = ctx->args[0]});
}

int failed_exit(struct exit_tracepoint *ctx)
{
	returned(ctx, ctx->ret);
	return 0;
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
	return exec_failed(ctx, attempt, NULL, ret);
}
#endif
