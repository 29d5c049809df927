/* SPDX-License-Identifier: GPL-2.0-only */
/* What is reported of an execve that fails: its path and arguments, read when it has returned. Included by execs_failed.h. */

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
