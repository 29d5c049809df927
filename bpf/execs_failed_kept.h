/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is kept of an execve from its entry until it returns, and of what the kernel replaces meanwhile. Included by
 * execs_failed.h.
 */

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
