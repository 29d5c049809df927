/* SPDX-License-Identifier: GPL-2.0-only */
/* What a process used: time, faults, bytes; also what the kernel has not accounted for yet. Included by execs_ended.h. */
#define THREADS_MAX 128 /* threads that have ended but are not reaped yet, when the last one ends */

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

/* ---- What the kernel has accounted for ---- */

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
