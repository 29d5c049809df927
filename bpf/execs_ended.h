/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every process that ends: how, by whom (execs_killers.h), and what it used (execs_usage.h). Included by execs.c.
 */
#include "execs_usage.h"

enum ending_flag {
	ENDED_KILLER = 1,
	ENDED_OOM = 2,
	ENDED_FORKED = 4, /* it never executed a program of its own */
	ENDED_IO = 8, /* this kernel counts bytes */
	ENDED_STORAGE = 16,
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

#include "execs_killers.h"

/* ---- How processes ended: counted whether or not the event of the end finds room in the buffer ---- */

#define ENDINGS_ERROR 65 /* a status other than 0; below are the signals, and 0 */
BPF_PERCPU_ARRAY(endings, u64, ENDINGS_ERROR + 1); /* layout known to src/ebpftop/probes/ending_totals.py */

struct ended_process {
	u64 start_ns;
	u32 tgid;
	u32 unused;
};
/* Those that had other threads left, whose last two may both see themselves as the last. */
BPF_TABLE("lru_hash", struct ended_process, u8, ended_processes, 1024);

/* *status*: as wait4 reports it. */
INLINE void count_ending(u32 tgid, char *signal, const char *leader, u32 status)
{
	struct ended_process process = {.start_ns = load_u64(leader, OFF_TASK_START_BOOTTIME), .tgid = tgid};
	u8 yes = 1;

	/* A thread that is not the first is released after this, so who comes first of two sees both. Who comes second may
	 * see only itself. */
	if (load_u32(signal, OFF_SIGNAL_NR_THREADS) > 1) {
		if (ended_processes.insert(&process, &yes))
			return;
	} else if (ended_processes.lookup(&process)) {
		return;
	}
	u32 how = status & 0x7f;

	if (!how && status)
		how = ENDINGS_ERROR;
	u64 *count = endings.lookup(&how);

	if (count)
		__sync_fetch_and_add(count, 1);
}

/* ---- The end ---- */

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

INLINE void report_ending(void *ctx, char *task, char *signal, char *leader, u32 status)
{
	struct exit_event exit = {.event.kind = EVENT_EXIT};
	struct event *event = &exit.event;
	struct ending *ending = &exit.ending;

	count_seen(EVENT_EXIT);
	fill_identity(event, task);
	event->ret = status;
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
}

INLINE int process_ended(void *ctx)
{
	char *task = current_task();
	char *signal = load_pointer(task, OFF_TASK_SIGNAL);
	char *leader = load_pointer(task, OFF_TASK_GROUP_LEADER);
	u32 tgid = load_u32(task, OFF_TASK_TGID);

	if (!PARAMETER(ONLY_COUNTS))
		forget_attempt((u64)task); /* killed inside execve */
	/* Report only the last thread. If two race, both see zero, and user space drops the second by (pid, start). The
	 * thread may have a name of its own, so the filter matches the name of the process, which is what ends. */
	if (!filter_matches(tgid, leader))
		return 0;
	if (load_u32(signal, OFF_SIGNAL_LIVE)) {
		if (!PARAMETER(ONLY_COUNTS))
			count_thread(tgid, leader);
		return 0;
	}
	/* What wait4 reports, kernel/exit.c wait_task_zombie(). */
	u32 status = load_u32(signal, OFF_SIGNAL_FLAGS) & SIGNAL_GROUP_EXIT ? load_u32(signal, OFF_SIGNAL_EXIT_CODE)
									    : load_u32(leader, OFF_TASK_EXIT_CODE);

	if (!PARAMETER(ONLY_COUNTS))
		report_ending(ctx, task, signal, leader, status);
	/* Last, for the verifier, which walks what follows once for each way through it. */
	count_ending(tgid, signal, leader, status);
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
