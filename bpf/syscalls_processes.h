/* SPDX-License-Identifier: GPL-2.0-only */
/* Which process makes which call: pairs, the names of processes, and their ends. Included by syscalls.c. */

/* A process is a pid and its start, since pids are reused; its calls as another user are counted separately. */
struct process_call {
	u64 start_ns;
	u32 tgid;
	u32 slot;
	u32 uid;
	u32 unused;
};

/* Bounded: the difference to `counts` is the calls of evicted entries. The loader sets the sizes of hash maps with 1. */
struct process_count {
	struct count count;
	u64 errors;
	u64 total_ns; /* of the calls that have returned; only with LATENCY */
	u64 max_ns;
	char comm[COMM_LEN];
};

BPF_TABLE("lru_percpu_hash", struct process_call, struct process_count, process_calls, 1);

/* So user space knows without reading a map whether it should. Pairs that it did not delete were evicted. */
enum pair_counter { PAIRS_MADE, PROCESSES_ENDED, PAIR_COUNTERS };
BPF_PERCPU_ARRAY(pair_counters, u64, PAIR_COUNTERS);

struct process {
	u64 start_ns;
	u32 tgid;
	u32 unused;
};

/* Processes that ended: their pairs change no more. User space reads them a last time, and deletes both. If there is no
 * room here, the pairs stay until they are evicted. */
BPF_HASH(ended_processes, struct process, u32, 1);

/*
 * The new names of processes that were renamed: each in the place that its identity leads to, where it may replace
 * another. So nothing is searched or evicted at an exec. `sum` is over name and identity: whoever reads it knows whether
 * they belong together, also if somebody writes at that moment.
 */
#define NAME_PLACE_BITS 15

struct process_name {
	char comm[COMM_LEN];
	u64 start_ns;
	u64 sum; /* src/ebpftop/probes/syscall_processes.py adds up the same */
};

BPF_ARRAY(process_names, struct process_name, 1);

INLINE struct process_call process_call_of(const struct caller *caller, u32 slot)
{
	return (struct process_call){
		.start_ns = caller->start_ns,
		.tgid = caller->tgid,
		.slot = slot,
		.uid = caller->uid,
	};
}

/* A thread may have a name of its own; a process has the name of its first thread. */
INLINE void copy_process_comm(char *to, const struct caller *caller)
{
	void *leader = read_pointer(caller->task, OFF_TASK_GROUP_LEADER);

	bpf_probe_read_kernel(to, COMM_LEN, (char *)leader + OFF_TASK_COMM);
}

/*
 * raw tracepoint task_rename (task, new name): an execve, prctl, or a write to /proc/PID/comm. A pair of
 * process and call keeps the name of the first call. So if a shell became a server, its older pairs would still have the
 * shell's name.
 */
int name_on_task_rename(struct bpf_raw_tracepoint_args *ctx)
{
	char *task = (char *)ctx->args[0];
	u64 comm[2] = {};

	if (read_pointer(task, OFF_TASK_GROUP_LEADER) != task)
		return 0; /* only a thread */
	u64 start_ns = read_u64(task, OFF_TASK_START_BOOTTIME);
	u64 tgid = read_u32(task, OFF_TASK_TGID);
	u32 place = (start_ns + tgid) * 0x9e3779b97f4a7c15 >> (64 - NAME_PLACE_BITS);
	struct process_name *name = process_names.lookup(&place);

	if (!name)
		return 0;
	bpf_probe_read_kernel_str((char *)comm, COMM_LEN, (void *)ctx->args[1]);
	((u64 *)name->comm)[0] = comm[0];
	((u64 *)name->comm)[1] = comm[1];
	name->start_ns = start_ns;
	name->sum = start_ns + tgid + comm[0] + 3 * comm[1];
	return 0;
}

INLINE void count_pairs(u32 which)
{
	u64 *count = pair_counters.lookup(&which);

	if (count)
		__sync_fetch_and_add(count, 1);
}

/* raw tracepoint sched_process_exit: of the last thread, all others have counted their calls. If two end at once, both
 * may come as the last. */
int pairs_on_sched_process_exit(void *ctx)
{
	char *task = current_task();
	struct process key = {};
	u32 ended = 1;

	if (load_u32(load_pointer(task, OFF_TASK_SIGNAL), OFF_SIGNAL_LIVE))
		return 0;
	key.start_ns = load_u64(load_pointer(task, OFF_TASK_GROUP_LEADER), OFF_TASK_START_BOOTTIME);
	key.tgid = load_u32(task, OFF_TASK_TGID);
	ended_processes.update(&key, &ended);
	count_pairs(PROCESSES_ENDED);
	return 0;
}

INLINE void count_process(const struct caller *caller, u32 slot, struct count one)
{
	struct process_call key = process_call_of(caller, slot);
	struct process_count *count = process_calls.lookup(&key);

	if (!count) {
		struct process_count first = {.count = one};

		copy_process_comm(first.comm, caller);
		if (!process_calls.insert(&key, &first)) {
			count_pairs(PAIRS_MADE);
			return;
		}
		/* Another thread of the process was first. */
		count = process_calls.lookup(&key);
		if (!count)
			return;
	}
	/* Now and then, for processes whose name was replaced in `process_names`. */
	if (!((one.entered ? count->count.entered : count->count.unentered) & 63))
		copy_process_comm(count->comm, caller);
	if (one.entered)
		count->count.entered += 1;
	else
		count->count.unentered += 1;
}
