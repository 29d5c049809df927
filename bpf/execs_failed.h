/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * execve calls that fail, from every place where that can be seen. Included by execs.c.
 */

/*
 * Read the strings of *argv* one after another into *to*, from *position on, which advances: at most *most* strings,
 * each of at most *longest* bytes with its NUL, none that begins beyond *mask* (a power of two less 1). *position lies
 * in a map: see through_memory(). Returns flags of enum event_flag.
 */
INLINE u32 read_arguments(char *to, u64 mask, u32 longest, int most, u64 argv, u64 stride, volatile u64 *position)
{
	if (!argv)
		return 0;
#pragma nounroll
	for (int i = 0; i <= most; i++) {
		u64 argument[2] = {}; /* as large as the verifier thinks that *stride* may be */
		u64 at = *position;

		if (read_user(argument, stride, (void *)(argv + stride * i)))
			return ARGV_UNREADABLE;
		if (!argument[0])
			return 0;
		if (i == most || at > mask)
			return ARGV_TRUNCATED;
		asm volatile("%0 &= %1" : "+r"(at) : "r"(mask));
		long len = read_user_string(to + at, longest + 1, (void *)argument[0]);

		if (len < 0)
			return ARGV_UNREADABLE;
		*position = at + len;
		if (len > longest)
			return ARGV_TRUNCATED;
	}
	return ARGV_TRUNCATED;
}

/* Bounded, but otherwise unknown to the verifier: it would check all arguments once for each value. */
INLINE u64 stride_of(const struct attempt *attempt, volatile u64 *position)
{
	*position = attempt->pointer_size;
	u64 stride = *position;

	BOUND(stride, 15);
	return stride;
}

/* Of scratch->attempt. */
INLINE void send_failed(void *ctx, struct scratch *scratch, long ret)
{
	char *task = current_task();
	u64 key = (u64)task;
	struct event *event = &scratch->head;
	struct attempt *attempt = &scratch->attempt;
	char *mm = load_pointer(task, OFF_TASK_MM);
	/* In the map, and read again where they are used, like `kept`: else the verifier checks the code between for each
	 * value. */
#define replaced (*(volatile u32 *)&scratch->replaced)
#define was_kept (*(volatile u32 *)&scratch->was_kept)
	struct kept *kept;
	u64 at = 0;

	replaced = attempt->mm && attempt->mm != (u64)mm;
	was_kept = replaced && !attempt->new_argv;
	event->kind = EVENT_FAILED;
	event->ret = ret;
	event->interp_len = 0;
	fill_identity(event, task);
	fill_context(event, task);
	event->dirfd = attempt->dirfd;
	if (replaced) {
		u64 arg_start = load_u64(mm, OFF_MM_ARG_START);

		__builtin_memcpy(event->comm, attempt->comm, COMM_LEN);
		/* The kernel moves the stack, once; arg_start tells where to (fs/exec.c, setup_arg_pages()). */
		attempt->argv = arg_start ? arg_start : attempt->new_argv;
		attempt->file = attempt->new_file + (attempt->argv - attempt->new_argv);
	}
	if (!was_kept) {
		long len = read_user_string(scratch->data, PATH_LEN + 1, (void *)attempt->file);

		at = at_least_0(len);
		if (len < 0 || len > PATH_LEN)
			event->flags |= FILE_CUT;
		if (len < 0 && !replaced)
			event->flags |= FILE_UNREADABLE;
	} else if ((kept = kept_attempts.lookup(&key))) {
		long len = bpf_probe_read_kernel_str(scratch->data, KEPT_PATH + 1, kept->file);

		at = at_least_0(len);
		event->flags |= kept->flags;
	} else {
		event->flags |= FILE_CUT | ARGV_UNREADABLE;
	}
	at = through_memory(scratch, at);
	event->file_len = at;
	event->cgroup_len = append_cgroup(scratch, at, task);
	at = through_memory(scratch, at + event->cgroup_len);
	at = append_places(scratch, at, task, NULL, FAILED_STEPS);

	u64 from = at;

	if (!replaced) {
		u64 stride = stride_of(attempt, &scratch->at);

		scratch->at = from;
		event->flags |= read_arguments(scratch->data, FAILED_MASK, FAILED_ARG_LEN, FAILED_ARGS, attempt->argv,
					       stride, &scratch->at);
		at = *(volatile u64 *)&scratch->at;
	} else if (!was_kept) {
		/* Up to the path lie the strings of argv and of envp. User space takes the first *argc*. */
		u64 len = attempt->file - attempt->argv;

		event->argc = attempt->argc;
		if (len > FAILED_MASK)
			len = FAILED_MASK;
		BOUND(at, HEAD_MASK);
		BOUND(len, FAILED_MASK);
		if (read_user(scratch->data + at, len, (void *)attempt->argv))
			event->flags |= ARGV_UNREADABLE;
		else
			at = through_memory(scratch, at + len);
	} else if ((kept = kept_attempts.lookup(&key))) {
		u64 len = kept->argv_len;

		BOUND(at, FAILED_MASK);
		if (len < sizeof(kept->argv)) {
			bpf_probe_read_kernel(scratch->data + at, len, kept->argv);
			at = through_memory(scratch, at + len);
		}
	}
	/*
	 * The kernel reads the path first, then the arguments, and answers EFAULT if it cannot. So if the path cannot be
	 * read, the call was denied before (by seccomp), or there is none: nothing was passed on that is missing here.
	 */
	if ((event->flags & (ARGV_UNREADABLE | FILE_UNREADABLE)) == ARGV_UNREADABLE && event->ret != -EFAULT)
		count_lost(LOST_ARGV);
	u64 argv_len = at - from;

	BOUND(from, HEAD_MASK);
	if (argv_len > FAILED_MASK + FAILED_ARG_LEN + 1)
		return;
	send(ctx, scratch, from, argv_len, 0);
#undef replaced
#undef was_kept
}

/*
 * Runs when execve has returned: then the parts of the path and argv that the kernel has read are resident. At entry
 * many of them may not be.
 */
INLINE int exec_failed(void *ctx, struct attempt attempt, long ret)
{
	u32 cpu = bpf_get_smp_processor_id();
	struct scratch *scratch = failed_scratch.lookup(&cpu);
	u8 claimed = 1;

	/* If the entry was seen, the filter was checked there: a failed execve may have changed the name. Else check
	 * now. */
	if (ret >= 0 || ret < -4095 || (!attempt.mm && !task_matches()))
		return 0;
	count_seen(EVENT_FAILED);
	/* The insert is atomic, and fails if the CPU is claimed already. */
	if (!scratch || failed_claims.insert(&cpu, &claimed)) {
		count_lost(scratch ? LOST_BUSY : LOST_MAP);
		return 0;
	}
	/* In a map, where the verifier knows no values of it: it would check all that follows for each. */
	scratch->attempt = attempt;
	asm volatile("" ::: "memory");
	send_failed(ctx, scratch, ret);
	failed_claims.delete(&cpu);
	return 0;
}

/* Read what can be read now; *place* is an index of kept_scratch. */
INLINE void keep(u64 task, const struct attempt *attempt, u32 place)
{
	struct kept *kept = kept_scratch.lookup(&place);

	if (!kept)
		return;
	long len = read_user_string(kept->file, KEPT_PATH + 1, (void *)attempt->file);

	kept->flags = len < 0 || len > KEPT_PATH ? FILE_CUT : 0;
	if (len < 0)
		kept->file[0] = 0;
	u64 stride = stride_of(attempt, &kept->argv_len);

	kept->argv_len = 0;
	kept->flags |=
		read_arguments(kept->argv, KEPT_MASK, KEPT_ARG_LEN, KEPT_ARGS, attempt->argv, stride, &kept->argv_len);
	kept_attempts.update(&task, kept);
}

/* Whether argv has no string: then the kernel makes one, since 5.18. */
INLINE bool is_empty(const struct attempt *attempt)
{
	u64 first = 0;

	return !attempt->argv || read_user(&first, 4, (void *)attempt->argv) || !first;
}

/*
 * Just before the point of no return the new program's memory holds the strings of argv, of envp, and the path, in this
 * order. So it is enough to note where: what they are is read if the call fails after all, which is rare. If the kernel
 * has changed them (the interpreter of a script gets other arguments, execveat another path), they are kept now.
 */
INLINE void note_program(char *task, struct attempt *attempt, const void *bprm)
{
	struct program program = program_of(bprm);

	load_comm(attempt->comm, task);
	if (program.interp == program.filename && attempt->dirfd == AT_FDCWD &&
	    !(program.argc <= 1 && is_empty(attempt))) {
		attempt->new_argv = program.argv;
		attempt->new_file = program.file;
		attempt->argc = program.argc;
	} else {
		keep((u64)task, attempt, EXEC_CALLS);
	}
}

/* *keeps*: nothing more is seen of the call before its point of no return, so that what can be read now is kept. */
INLINE int remember(struct attempt attempt, bool keeps)
{
	char *task = current_task();

	attempt.mm = load_u64(task, OFF_TASK_MM);
	if (!task_matches())
		attempt.pointer_size = 0;
	load_comm(attempt.comm, task);
	put_attempt((u64)task, &attempt);
	if (keeps && attempt.pointer_size)
		keep((u64)task, &attempt, attempt.call);
	return 0;
}

/* Remove the attempt of *task* and copy it; false if its entry was not seen. */
INLINE bool pop_attempt(u64 task, struct attempt *copy)
{
	struct attempt *attempt = find_attempt(task);

	if (!attempt)
		return false;
	*copy = *attempt;
	remove_attempt(task);
	return true;
}

INLINE int attempt_returned(void *ctx, u64 task, struct attempt attempt, long ret)
{
	if (attempt.pointer_size) {
		exec_failed(ctx, attempt, ret);
		if (!attempt.new_argv)
			kept_attempts.delete(&task);
	}
	return 0;
}

INLINE int returned(void *ctx, long ret)
{
	u64 task = bpf_get_current_task();
	struct attempt attempt;

	return pop_attempt(task, &attempt) ? attempt_returned(ctx, task, attempt, ret) : 0;
}

#define CALL_OF(abi, is_execveat) (2 * (abi) + (is_execveat))

/* *is_known*: the verifier knows the type of *regs*. */
INLINE u64 argument_of(const void *regs, bool is_known, enum abi abi, u64 offset, u64 compat_offset)
{
	if (abi == ABI_COMPAT)
		return is_known ? load_u32(regs, compat_offset) : read_u32(regs, compat_offset);
	return is_known ? load_u64(regs, offset) : read_u64(regs, offset);
}

/* The only argument of a syscall's kernel function is the user's registers. */
INLINE struct attempt attempt_of(const void *regs, bool is_known, enum abi abi, bool is_execveat)
{
	u64 first = argument_of(regs, is_known, abi, OFF_REGS_ARG1, OFF_REGS_COMPAT_ARG1);
	u64 second = argument_of(regs, is_known, abi, OFF_REGS_ARG2, OFF_REGS_COMPAT_ARG2);
	u64 third = 0;
	bool is_check = false;

	if (is_execveat) {
		u64 fifth = argument_of(regs, is_known, abi, OFF_REGS_ARG5, OFF_REGS_COMPAT_ARG5);

		third = argument_of(regs, is_known, abi, OFF_REGS_ARG3, OFF_REGS_COMPAT_ARG3);
		is_check = only_checks((struct exec_call){abi, is_execveat}, fifth);
	}
	u16 pointer_size = abi == ABI_NATIVE ? 8 : 4;

	return (struct attempt){
		.file = is_execveat ? second : first,
		.argv = is_execveat ? third : second,
		.dirfd = is_execveat ? first : AT_FDCWD,
		.pointer_size = is_check ? 0 : pointer_size,
		.call = CALL_OF(abi, is_execveat),
	};
}

/* Runs after the programs at the entry, just before the point of no return. */
INLINE int note_now(const void *bprm)
{
	char *task = current_task();
	struct attempt *attempt = find_attempt((u64)task);

	if (attempt && attempt->pointer_size)
		note_program(task, attempt, bprm);
	return 0;
}

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
