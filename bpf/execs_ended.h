/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every process that ends: how, by whom, and what it used. Included by execs.c.
 */
#define THREADS_MAX 128 /* threads that have ended but are not reaped yet, when the last one ends */

/* ---- Who sends a signal ---- */

#define SIGNALS 64
#define SIGNAL_KILL 9
#define SIGNAL_CHILD 17
/* SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH: nothing dies of them (signal(7)). */
#define HARMLESS ((1ULL << 17) | (1ULL << 18) | (0xfULL << 19) | (1ULL << 23) | (1ULL << 28))
#define DELIVERED 0 /* include/trace/events/signal.h */
#define LOST_ITS_INFO 4
#define NO_INFO 0 /* SEND_SIG_NOINFO, include/linux/sched/signal.h */
#define OF_KERNEL 1 /* SEND_SIG_PRIV */
#define SIGINFO_CODE 8 /* si_code, include/uapi/asm-generic/siginfo.h */
#define FROM_KILL 0
/* SI_TIMER, SI_MESGQ, SI_ASYNCIO, SI_SIGIO, SI_DETHREAD: the kernel's own, like all above 0. sigqueue(3) sets others. */
#define OF_EVENTS ((1U << 2) | (1U << 3) | (1U << 4) | (1U << 5) | (1U << 7))
#define OF_RESOLVER -60 /* SI_ASYNCNL */
#define SIZE_SIGACTION 32 /* struct k_sigaction on x86-64 and arm64; sa_handler is its first member */

struct killer {
	u64 start_ns; /* of the process that is killed */
	u32 pid;
	u32 uid;
	char comm[COMM_LEN];
};

/* By process and signal. What is not delivered, or is taken by sigwait(2), stays until it is evicted. */
BPF_TABLE("lru_hash", u64, struct killer, killers, 1024);

INLINE u64 killer_key(u32 tgid, u32 signal)
{
	return (u64)tgid << 32 | signal;
}

/* ---- Time that the kernel has not accounted for yet ---- */

/*
 * The kernel adds to se.sum_exec_runtime at a clock tick and when it switches to another thread (update_curr() in
 * kernel/sched/fair.c), not when a thread ends: a program that lives for less than a tick has next to nothing there. What is
 * missing is the scheduler's clock now, minus se.exec_start. No helper reads that clock. But a thread that is made has just
 * been put into a queue with its time, so there the distance from CLOCK_MONOTONIC can be measured. One of the two is
 * adjusted and the other is not: they move apart by some 10 us in a second, and each program that is short has been made
 * shortly before.
 */
BPF_ARRAY(clock_distance, u64, 1); /* 0: not known */
#define UNACCOUNTED_MAX 20000000 /* ns: two ticks of the slowest clock; more is an error of measurement */

/* Raw tracepoint args: the new thread. */
int clock_on_sched_wakeup_new(struct bpf_raw_tracepoint_args *ctx)
{
#ifdef OFF_TASK_LAST_QUEUED
	u32 zero = 0;
	u64 *distance = clock_distance.lookup(&zero);
	u64 queued = read_u64((void *)ctx->args[0], OFF_TASK_LAST_QUEUED);

	if (distance && queued)
		*distance = bpf_ktime_get_ns() - queued;
#endif
	return 0;
}

/* How far the clock that counts for threads is behind: it stands still in interrupts, and while a host runs others. */
INLINE u64 clock_not_of_threads(char *task)
{
#if defined(OFF_TASK_CFS_RQ) && defined(OFF_CFS_RQ_RQ) && defined(OFF_RQ_CLOCK) && defined(OFF_RQ_CLOCK_TASK)
	char *rq = load_pointer(load_pointer(task, OFF_TASK_CFS_RQ), OFF_CFS_RQ_RQ);

	return load_u64(rq, OFF_RQ_CLOCK) - load_u64(rq, OFF_RQ_CLOCK_TASK);
#else
	return 0;
#endif
}

/* *task*: the current one. *now_ns*: CLOCK_MONOTONIC. */
INLINE u64 unaccounted_ns(char *task, u64 now_ns)
{
	u32 zero = 0;
	u64 *distance = clock_distance.lookup(&zero);

	if (!distance || !*distance)
		return 0;
	u64 ns = now_ns - *distance - clock_not_of_threads(task) - load_u64(task, OFF_TASK_EXEC_START);

	return ns < UNACCOUNTED_MAX ? ns : 0;
}

/* ---- What a process used ---- */

enum ending_flag {
	ENDED_KILLER = 1,
	ENDED_OOM = 2,
	ENDED_FORKED = 4, /* it never executed a program of its own */
	ENDED_IO = 8, /* this kernel counts bytes */
	ENDED_STORAGE = 16,
};

/* What getrusage(2) and /proc/PID/io count, in the kernel's units: ns, faults, bytes. */
struct usage {
	u64 utime_ns; /* by ticks: only their ratio is exact */
	u64 stime_ns;
	u64 runtime_ns;
	u64 minor_faults;
	u64 major_faults;
	u64 read_bytes;
	u64 written_bytes;
	u64 storage_read_bytes;
	u64 storage_written_bytes;
};

/* Behind struct event if it is of an exit. Layout known to src/ebpftop/probes/exit_event.py. */
struct ending {
	struct usage usage;
	u64 max_rss_pages;
	u32 flags;
	u32 killer_pid;
	u32 killer_uid;
	u32 threads; /* that ended before the last one, as far as they were seen */
	char killer_comm[COMM_LEN];
};

struct exit_event {
	struct event event;
	struct ending ending;
};

/* Threads that ended, of processes that have others left. */
struct ended_threads {
	u64 start_ns;
	u32 count;
	u32 unused;
};
BPF_TABLE("lru_hash", u32, struct ended_threads, ended_threads, 1024);

/* Where the same figures are in a task_struct and in a signal_struct. */
#define TASK_TIMES OFF_TASK_UTIME, OFF_TASK_STIME, OFF_TASK_RUNTIME, OFF_TASK_MIN_FLT, OFF_TASK_MAJ_FLT
#define SIGNAL_TIMES OFF_SIGNAL_UTIME, OFF_SIGNAL_STIME, OFF_SIGNAL_RUNTIME, OFF_SIGNAL_MIN_FLT, OFF_SIGNAL_MAJ_FLT

/* *read* reads a u64 at an offset of *base*. */
#define ADD_EACH(usage, read, base, utime, stime, runtime, minor, major) \
	do {                                                             \
		(usage)->utime_ns += read(base, utime);                  \
		(usage)->stime_ns += read(base, stime);                  \
		(usage)->runtime_ns += read(base, runtime);              \
		(usage)->minor_faults += read(base, minor);              \
		(usage)->major_faults += read(base, major);              \
	} while (0)
#define ADD_TIMES(usage, read, base, ...) ADD_EACH(usage, read, base, __VA_ARGS__)

/* A kernel may be built without one of them, or both. */
#if defined(OFF_TASK_RCHAR) && defined(OFF_SIGNAL_RCHAR)
#define ADD_IO(usage, read, base, in, out)                 \
	do {                                               \
		(usage)->read_bytes += read(base, in);     \
		(usage)->written_bytes += read(base, out); \
	} while (0)
#define IO_FLAG ENDED_IO
#else
#define ADD_IO(usage, read, base, in, out)
#define IO_FLAG 0
#endif

#if defined(OFF_TASK_READ_BYTES) && defined(OFF_SIGNAL_READ_BYTES)
#define ADD_STORAGE(usage, read, base, in, out)                    \
	do {                                                       \
		(usage)->storage_read_bytes += read(base, in);     \
		(usage)->storage_written_bytes += read(base, out); \
	} while (0)
#define STORAGE_FLAG ENDED_STORAGE
#else
#define ADD_STORAGE(usage, read, base, in, out)
#define STORAGE_FLAG 0
#endif

#define ADD_TASK(usage, read, task)                                                        \
	do {                                                                               \
		ADD_TIMES(usage, read, task, TASK_TIMES);                                  \
		ADD_IO(usage, read, task, OFF_TASK_RCHAR, OFF_TASK_WCHAR);                 \
		ADD_STORAGE(usage, read, task, OFF_TASK_READ_BYTES, OFF_TASK_WRITE_BYTES); \
	} while (0)
#define ADD_SIGNAL(usage, read, signal)                                                          \
	do {                                                                                     \
		ADD_TIMES(usage, read, signal, SIGNAL_TIMES);                                    \
		ADD_IO(usage, read, signal, OFF_SIGNAL_RCHAR, OFF_SIGNAL_WCHAR);                 \
		ADD_STORAGE(usage, read, signal, OFF_SIGNAL_READ_BYTES, OFF_SIGNAL_WRITE_BYTES); \
	} while (0)

/*
 * Threads that were reaped are summed up in the signal_struct (__exit_signal() in kernel/exit.c); the first one, and those
 * that end at this moment, have their own figures still. One that is reaped while we read may be missing.
 */
INLINE void fill_usage(struct usage *usage, char *task, char *signal)
{
	ADD_SIGNAL(usage, load_u64, signal);

	u64 head = (u64)signal + OFF_SIGNAL_THREAD_HEAD, own = (u64)task + OFF_TASK_THREAD_NODE;
	u64 node = (u64)load_pointer(signal, OFF_SIGNAL_THREAD_HEAD);

	if (node == own && read_u64((void *)own, 0) == head) {
		ADD_TASK(usage, load_u64, task);
		return;
	}
#pragma nounroll
	for (int i = 0; i < THREADS_MAX; i++) {
		if (!node || node == head)
			return;
		ADD_TASK(usage, read_u64, (const char *)(node - OFF_TASK_THREAD_NODE));
		node = read_u64((void *)node, 0);
	}
}

/* ---- After the memory is freed ---- */

/* What a process used, up to when its parent is told of its end. Layout known to src/ebpftop/probes/exit_event.py. */
struct freed_event {
	u32 kind;
	u32 pid;
	u64 time_ns; /* where every event has it */
	u64 start_ns;
	u64 utime_ns;
	u64 stime_ns;
	u64 runtime_ns;
};

/*
 * From Linux 6.16 on, sched_process_exit comes before exit_mm(), and what freeing the memory takes is missing in its event:
 * 50 us of /bin/true, seconds of a large process. The signal to the parent comes last (exit_notify() in kernel/exit.c). It
 * may also be of a child that has ended before, and that another process is the parent of now: then this is sent again
 * later. If the parent gets no signal, or the event is lost, the first figures stay.
 */
INLINE int process_freed(void *ctx)
{
	char *task = current_task();
	char *signal = load_pointer(task, OFF_TASK_SIGNAL);
	char *leader = load_pointer(task, OFF_TASK_GROUP_LEADER);
	u32 tgid = load_u32(task, OFF_TASK_TGID);

	if (load_u32(signal, OFF_SIGNAL_LIVE) || !filter_matches(tgid, leader))
		return 0;
	struct usage usage = {};
	u64 now_ns = bpf_ktime_get_ns();

	fill_usage(&usage, task, signal);

	struct freed_event freed = {
		.kind = EVENT_FREED,
		.pid = tgid,
		.time_ns = now_ns,
		.start_ns = load_u64(leader, OFF_TASK_START_BOOTTIME),
		.utime_ns = usage.utime_ns,
		.stime_ns = usage.stime_ns,
		.runtime_ns = usage.runtime_ns + unaccounted_ns(task, now_ns),
	};

	hand_over(ctx, &freed, sizeof(freed));
	return 0;
}

/*
 * Raw tracepoint args: signal, siginfo, task, whether the group gets it, result. It is often a timer's or a child's: these
 * return at once, and so does what the process handles.
 */
int killer_on_signal_generate(struct bpf_raw_tracepoint_args *ctx)
{
	u64 signal = (u32)ctx->args[0], info = ctx->args[1];
	char *target = (char *)ctx->args[2];
	u32 result = ctx->args[4];

	if (PARAMETER(FREES_LATE) && signal == SIGNAL_CHILD)
		return process_freed(ctx);
	if (signal - 1 >= SIGNALS || (signal < SIGNALS && HARMLESS >> signal & 1))
		return 0;
	if (info == OF_KERNEL || (result != DELIVERED && result != LOST_ITS_INFO))
		return 0;

	s32 code = FROM_KILL;

	if (info != NO_INFO)
		code = read_u32((void *)info, SIGINFO_CODE);
	if (code > FROM_KILL || code == OF_RESOLVER || (code > -32 && OF_EVENTS >> (u32)-code & 1))
		return 0;

	u32 tgid = read_u32(target, OFF_TASK_TGID);
	char *task = current_task();
	u32 sender = load_u32(task, OFF_TASK_TGID);

	/* A broken pipe, a file too large: the kernel's own, in the name of the process itself. */
	if (info == NO_INFO && tgid == sender)
		return 0;
	if (signal != SIGNAL_KILL &&
	    read_pointer(read_pointer(target, OFF_TASK_SIGHAND), OFF_SIGHAND_ACTION + (signal - 1) * SIZE_SIGACTION))
		return 0;

	char *leader = load_pointer(task, OFF_TASK_GROUP_LEADER);
	u64 key = killer_key(tgid, signal);
	struct killer killer = {
		.start_ns = read_u64(read_pointer(target, OFF_TASK_GROUP_LEADER), OFF_TASK_START_BOOTTIME),
		.pid = sender,
		.uid = load_cred(task, OFF_CRED_UID),
	};

	load_comm(killer.comm, leader);
	killers.update(&key, &killer);
	return 0;
}

/* ---- The end ---- */

INLINE void fill_killer(struct ending *ending, const struct event *event)
{
	u64 key = killer_key(event->pid, event->ret & 0x7f);
	struct killer *killer = killers.lookup(&key);

	if (!killer)
		return;
	if (killer->start_ns == event->start_ns) {
		ending->flags |= ENDED_KILLER;
		ending->killer_pid = killer->pid;
		ending->killer_uid = killer->uid;
		__builtin_memcpy(ending->killer_comm, killer->comm, COMM_LEN);
	}
	killers.delete(&key);
}

INLINE void count_thread(u32 tgid, const char *leader)
{
	struct ended_threads *ended = ended_threads.lookup(&tgid);
	u64 start_ns = load_u64(leader, OFF_TASK_START_BOOTTIME);

	if (!ended || ended->start_ns != start_ns) {
		struct ended_threads none = {.start_ns = start_ns};

		if (ended) /* of a process that had this pid before */
			ended_threads.delete(&tgid);
		ended_threads.insert(&tgid, &none); /* another thread may be first */
		ended = ended_threads.lookup(&tgid);
		if (!ended)
			return;
	}
	__sync_fetch_and_add(&ended->count, 1);
}

INLINE u32 threads_before(u32 tgid, u64 start_ns)
{
	struct ended_threads *ended = ended_threads.lookup(&tgid);
	u32 count = ended && ended->start_ns == start_ns ? ended->count : 0;

	if (ended)
		ended_threads.delete(&tgid);
	return count;
}

INLINE int process_ended(void *ctx)
{
	char *task = current_task();
	char *signal = load_pointer(task, OFF_TASK_SIGNAL);
	char *leader = load_pointer(task, OFF_TASK_GROUP_LEADER);
	u32 tgid = load_u32(task, OFF_TASK_TGID);

	forget_attempt((u64)task); /* killed inside execve */
	/* Report only the last thread. If two race, both see zero, and user space drops the second by (pid, start). The
	 * thread may have a name of its own, so the filter matches the name of the process, which is what ends. */
	if (!filter_matches(tgid, leader))
		return 0;
	if (load_u32(signal, OFF_SIGNAL_LIVE)) {
		count_thread(tgid, leader);
		return 0;
	}
	struct exit_event exit = {.event.kind = EVENT_EXIT};
	struct event *event = &exit.event;
	struct ending *ending = &exit.ending;

	count_seen(EVENT_EXIT);
	fill_identity(event, task);
	/* What wait4 reports, kernel/exit.c wait_task_zombie(). */
	event->ret = load_u32(signal, OFF_SIGNAL_FLAGS) & SIGNAL_GROUP_EXIT ? load_u32(signal, OFF_SIGNAL_EXIT_CODE)
									    : load_u32(leader, OFF_TASK_EXIT_CODE);
	load_comm(event->comm, leader);
	fill_usage(&ending->usage, task, signal);
	ending->usage.runtime_ns += unaccounted_ns(task, event->time_ns);
	ending->max_rss_pages = load_u64(signal, OFF_SIGNAL_MAXRSS);
	ending->flags = IO_FLAG | STORAGE_FLAG;
	if (load_u32(leader, OFF_TASK_PF) & FORK_NO_EXEC)
		ending->flags |= ENDED_FORKED;
#ifdef OFF_SIGNAL_OOM_MM
	/* mark_oom_victim() in mm/oom_kill.c */
	if ((event->ret & 0x7f) == SIGNAL_KILL && load_pointer(signal, OFF_SIGNAL_OOM_MM))
		ending->flags |= ENDED_OOM;
#endif
	if (event->ret & 0x7f)
		fill_killer(ending, event);
	ending->threads = threads_before(event->pid, event->start_ns);
	/* Counted apart from lost execs: after a lost exit a program seems to run on, after a lost exec it is not
	 * known. */
	if (hand_over(ctx, &exit, sizeof(exit)))
		count_lost(LOST_EXITS);
	return 0;
}

int exit_on_sched_process_exit(struct bpf_raw_tracepoint_args *ctx)
{
	return process_ended(ctx);
}

#ifdef WITH_SCHED_TRACEPOINTS
int exit_on_tracepoint(void *ctx)
{
	return process_ended(ctx);
}
#endif
