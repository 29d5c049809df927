/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who is calling, and the context of each kind of attachment. Included by syscalls.c.
 */

#define ARGS 6

#ifdef VIA_TRACEPOINT
struct enter_ctx { /* raw_syscalls/sys_enter/format */
	u64 common;
	u64 nr;
	u64 args[ARGS];
};
struct exit_ctx { /* raw_syscalls/sys_exit/format */
	u64 common;
	s64 nr;
	s64 ret;
};
#define ENTER_NR(ctx) ((ctx)->nr)
#define EXIT_RET(ctx) ((ctx)->ret)
#define EXIT_NR(ctx) ((ctx)->nr)
#else
#define enter_ctx bpf_raw_tracepoint_args /* registers, number */
#define exit_ctx bpf_raw_tracepoint_args  /* registers, return value */
/* At fentry of x64_sys_call and its like the arguments are the same, but their number is that of the ABI's own table. */
#define ENTER_NR(ctx) (PARAMETER(AT_FUNCTION) ? load_u32((void *)(ctx)->args[0], OFF_REGS_NR) : (ctx)->args[1])
#define EXIT_RET(ctx) ((s64)(ctx)->args[1])
#define EXIT_NR(ctx) ((s32)read_u32((void *)(ctx)->args[0], OFF_REGS_NR))
#endif

/* What is read of the current task at every call. */
struct caller {
	char *task; /* NULL only because the verifier requires a check for it */
	u64 start_ns; /* of its process, since boot: pids are reused, but never with the same start. Only with PROCESSES */
	u32 tgid;
	u32 tid;
	u32 uid; /* only with PROCESSES or GROUPS */
	bool compat; /* in a 32-bit call: COMPAT_MASK of the u32 at OFF_TASK_COMPAT */
};

#ifdef HAVE_TASK_BTF
INLINE u64 start_of_process(char *task)
{
	char *leader = *(char **)(task + OFF_TASK_GROUP_LEADER);

	return *(u64 *)(leader + OFF_TASK_START_BOOTTIME);
}

INLINE u32 uid_of(char *task)
{
	char *cred = *(char **)(task + OFF_TASK_CRED);

	return *(u32 *)(cred + OFF_CRED_UID);
}
#endif

#if defined(WITH_CALLERS) && !defined(VIA_TRACEPOINT)
/*
 * A helper call may cost more than all the rest: 18 of 23 ns on a CPU whose kernel guards each return (Safe RET). So
 * every CPU remembers the task that it saw last. In a system call a task's registers lie at the top of its stack, and
 * their address comes with the context: the same address means the same task. There are two exceptions. A stack goes to
 * another task after its owner has ended. A task changes its tid in an execve by a thread that is not its process's
 * first. `task_changes` counts both; what was remembered before is then no longer valid.
 *
 * `task` is a pointer that the verifier knows (__kptr_untrusted), which BCC cannot describe. So the map here is only
 * for compilation; the map that is loaded is made by src/ebpftop/kernel/task_cache_map.py.
 */
struct known_caller {
	char *task;
	u64 regs;
	u64 task_changes;
	u64 start_ns;
	u32 tgid;
	u32 tid;
};

BPF_PERCPU_ARRAY(callers, struct known_caller, 1);
BPF_ARRAY(task_changes, u64, 1);

INLINE int count_task_change(void)
{
	u32 zero = 0;
	u64 *changes = task_changes.lookup(&zero);

	if (changes)
		__sync_fetch_and_add(changes, 1);
	return 0;
}

/* raw tracepoint sched_process_exit: the task enters no more calls, and its stack is still its own. */
int task_cache_on_sched_process_exit(void *ctx)
{
	return count_task_change();
}

/*
 * raw tracepoint sched_process_exec: by now the task has its process's first tid (fs/exec.c, de_thread()). There may be
 * no exit of a task at the same time: the first thread may have ended long ago.
 */
int task_cache_on_sched_process_exec(void *ctx)
{
	return count_task_change();
}

INLINE struct caller caller_of(u64 regs)
{
	u32 zero = 0;
	struct caller caller = {};
	struct known_caller *known = callers.lookup(&zero);
	u64 *changes = task_changes.lookup(&zero);

	if (!known || !changes)
		return caller;
	if (known->regs != regs || known->task_changes != *changes) {
		/* Read the counter before the task: if it changes meanwhile, the task is read again at the next
		 * call. */
		known->task_changes = *(volatile u64 *)changes;
		char *task = current_task();

		known->regs = regs;
		known->start_ns = start_of_process(task);
		known->tgid = *(u32 *)(task + OFF_TASK_TGID);
		known->tid = *(u32 *)(task + OFF_TASK_PID);
		known->task = task;
	}
	/* Read back, so that the verifier sees one kind of pointer here. */
	char *task = *(char *volatile *)&known->task;

	if (!task)
		return caller;
	caller.task = task;
	caller.tgid = known->tgid;
	caller.tid = known->tid;
	if (PARAMETER(PROCESSES))
		caller.start_ns = known->start_ns;
	if (KNOWS_USERS)
		caller.uid = uid_of(task);
	caller.compat = *(u32 *)(task + OFF_TASK_COMPAT) & COMPAT_MASK;
	return caller;
}

#define CURRENT_CALLER(ctx) caller_of((ctx)->args[0])
#else
INLINE struct caller current_caller(void)
{
	struct caller caller = {};
#ifdef HAVE_TASK_BTF
	char *task = current_task();

	caller.tgid = *(u32 *)(task + OFF_TASK_TGID);
	caller.tid = *(u32 *)(task + OFF_TASK_PID);
	if (PARAMETER(PROCESSES))
		caller.start_ns = start_of_process(task);
	if (KNOWS_USERS)
		caller.uid = uid_of(task);
#ifdef OFF_TASK_COMPAT
	caller.compat = *(u32 *)(task + OFF_TASK_COMPAT) & COMPAT_MASK;
#endif
#else
	char *task = (char *)bpf_get_current_task();
	u64 pid_tgid = bpf_get_current_pid_tgid();

	caller.tgid = pid_tgid >> 32;
	caller.tid = pid_tgid;
	if (PARAMETER(PROCESSES))
		caller.start_ns = read_u64(read_pointer(task, OFF_TASK_GROUP_LEADER), OFF_TASK_START_BOOTTIME);
	if (KNOWS_USERS)
		caller.uid = bpf_get_current_uid_gid();
#ifdef OFF_TASK_COMPAT
	caller.compat = read_u32(task, OFF_TASK_COMPAT) & COMPAT_MASK;
#endif
#endif
	caller.task = task;
	return caller;
}

#define CURRENT_CALLER(ctx) current_caller()
#endif
