/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The environment of a program that starts, and whose program's environment that of its parent is. Included by execs.c.
 */
#define FORKS_MAX 8 /* between a process and the one whose program it still runs */

/* Two processes run the same program if it is the same open file: each exec opens its own (fs/exec.c). */
INLINE u64 exe_file_of(const char *task)
{
	return (u64)load_pointer(load_pointer(task, OFF_TASK_MM), OFF_MM_EXE_FILE);
}

/*
 * The process that started the program that the parent runs: the parent, or, if that is a fork that executed nothing (a
 * subshell), the process that it was forked from. That one may have ended, then another is in its place; or it may have
 * executed another program meanwhile.
 */
INLINE void fill_origin(struct event *event, char *task)
{
	char *parent = load_pointer(load_pointer(task, OFF_TASK_GROUP_LEADER), OFF_TASK_REAL_PARENT);
	char *origin = load_pointer(parent, OFF_TASK_GROUP_LEADER);

	if (!PARAMETER(ENV_BYTES))
		return;
#pragma nounroll
	for (int i = 0; i < FORKS_MAX;) {
		if (!(load_u32(origin, OFF_TASK_PF) & FORK_NO_EXEC))
			break;
		origin = load_pointer(load_pointer(origin, OFF_TASK_REAL_PARENT), OFF_TASK_GROUP_LEADER);
		i++;
		LOOP_END();
	}
	u32 pid = load_u32(origin, OFF_TASK_TGID);

	if (pid != event->ppid && (!exe_file_of(parent) || exe_file_of(parent) != exe_file_of(origin)))
		return;
	event->origin_pid = pid;
	event->origin_start_ns = load_u64(origin, OFF_TASK_START_BOOTTIME);
}

/* Return how many bytes of the environment are at *at* now. */
INLINE u64 append_environment(struct scratch *scratch, u64 at, char *mm)
{
	if (!PARAMETER(ENV_BYTES))
		return 0;
	u64 env_start = load_u64(mm, OFF_MM_ENV_START);
	u64 len = load_u64(mm, OFF_MM_ENV_END) - env_start;
	u64 longest = PARAMETER(ENV_BYTES) - 1;

	if (len > longest) {
		len = longest;
		scratch->head.flags |= ENV_CUT;
	}
	BOUND(len, ENV_MASK);
	if (at > HEAD_MASK + ARGV_MASK || read_user(scratch->data + at, len, (void *)env_start)) {
		scratch->head.flags |= ENV_CUT;
		count_lost(LOST_ARGV);
		return 0;
	}
	return len;
}
