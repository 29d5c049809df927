/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The system calls of every process: one program at sys_enter makes a tail call to the handler of that call, through a
 * table that user space edits while it runs. An empty slot falls through: count.
 *
 * Golden facts (tests/kernel/test_syscalls.py): fork enters once and returns twice; exit_group never returns;
 * rt_sigreturn returns with number -1; execveat returns as execve. So calls are counted when they enter, and an exit
 * belongs to the call that its task entered last, whatever its number is.
 *
 * syscalls_caller.h: who calls. syscalls_traced.h: calls that are reported one by one; syscalls_conditions.h: which of
 * them; syscalls_values.h: the memory behind their arguments, syscalls_listed.h: lists in it; syscalls_walks.h: their files;
 * syscalls_stacks.h: where they were made; syscalls_before.h: what they will change; syscalls_returned.h: how that is put
 * together. syscalls_exit.h: how calls end; syscalls_groups.h: what cgroups and programs ask for.
 */
#include "ebpftop.h"
#include "budget.h"
#include "compat.h"
#include "events.h"

enum parameter {
	PARAMETER_LATENCY = 1, /* whether to count durations and errors */
	PARAMETER_PROCESSES = 2, /* whether to count who calls */
	PARAMETER_PRINTK = 3, /* whether the handlers of families print */
	PARAMETER_TRACED_PER_SECOND = 4, /* traced calls that are reported, on each CPU */
	PARAMETER_AT_FUNCTION = 5, /* whether calls are seen at the functions that the kernel enters them by */
	PARAMETER_STACKS = 6, /* whether reported calls have their stacks */
	PARAMETER_GROUPS = 7, /* whether to count what groups of processes do, and nothing else */
};

#define TIMES_CALLS (PARAMETER(LATENCY) || PARAMETER(GROUPS))
#define KNOWS_USERS (PARAMETER(PROCESSES) || PARAMETER(GROUPS))

#include "syscalls_caller.h"

INLINE u32 log2_of(u64 n)
{
	u32 log = 0;

#pragma unroll
	for (u32 step = 32; step; step /= 2) {
		u32 more = n >> step ? step : 0;

		n >>= more;
		log += more;
	}
	return log;
}

#define BUCKETS 44
#define NO_SLOT 0xffffffff   /* a number that the table has no slot for */
#define SKIPPED 0xfffffffe   /* a call that the filter does not match, or that is ignored */

/* Where the calls of an ABI lie in the table: its native one first. x32 borrows most numbers of x86-64 and has its own
 * from 512 on. */
#define SLOTS 1600
#define NATIVE_SLOTS 512
#define COMPAT_BASE 512
#define COMPAT_SLOTS 512
#define X32_BASE 1024
#define X32_SLOTS 576

enum family { FAMILY_EXEC, FAMILY_TIMER_CREATE, FAMILY_TIMER_DELETE, FAMILY_TIMER_OTHER, FAMILIES };

BPF_PROG_ARRAY(handlers, SLOTS);
enum slow_path {
	SLOW_PATH_RETURNED,
	SLOW_PATH_NO_SLOT,
	SLOW_PATH_TRACED,
	SLOW_PATH_VALUE,
	SLOW_PATH_ENTRIES,
	SLOW_PATH_LISTED,
	SLOW_PATH_FILES,
	SLOW_PATHS
};
/* Two, since programs of fentry and programs of a tracepoint cannot use the same one. */
enum enter_slow_path { ENTER_SLOW_PATH, ENTER_BEFORE, ENTER_VALUE, ENTER_STRINGS, ENTER_FILES, ENTER_SLOW_PATHS };
BPF_PROG_ARRAY(enter_slow_path, ENTER_SLOW_PATHS);
BPF_PROG_ARRAY(exit_slow_paths, SLOW_PATHS);

/* Two programs count calls, so each has a field of its own: see ebpftop.h. `unentered`: counted when they return. */
struct count {
	u64 entered;
	u64 unentered;
};

BPF_PERCPU_ARRAY(counts, struct count, SLOTS);
BPF_PERCPU_ARRAY(families, u64, FAMILIES);

/* Numbers that have no slot: the kernel answers ENOSYS, but the call was made. */
struct other_call {
	u32 abi;
	u32 nr;
};

BPF_HASH(other_calls, struct other_call, u64, 1024);
BPF_PERCPU_ARRAY(overflow, u64, 1);

struct other_failure {
	u32 abi;
	u32 nr;
	u32 error;
	u32 unused;
};

BPF_HASH(other_failures, struct other_failure, u64, 1024);

struct latency {
	u64 total_ns;
	u64 max_ns;
	u64 ns[BUCKETS]; /* ns[i]: 2^i <= duration < 2^(i+1) */
};

BPF_PERCPU_ARRAY(latencies, struct latency, SLOTS);

struct failure {
	u32 slot;
	u32 error;
};

BPF_TABLE("percpu_hash", struct failure, u64, failures, 8192);

/* The latencies of the calls that failed: few calls ever do, so this is no array with a place for each. */
struct failed_latency {
	u64 ns[BUCKETS]; /* as in struct latency, which has them too */
};

BPF_TABLE("percpu_hash", u32, struct failed_latency, failed_latencies, 512);
BPF_ARRAY(no_latency, struct failed_latency, 1); /* zeros; the stack has no room for them */

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

/*
 * The call that the task on this CPU is in, whether the filter matches it or not. If a task leaves the CPU in the
 * middle of a call, the call moves to `waiting`. So an exit finds its enter exactly, calls that do not sleep never
 * touch a hash, and `waiting` is just the calls in flight. Tasks are identified by address: a thread that execs changes
 * its tid in the middle of the call.
 */
struct call {
	u64 task; /* 0: none. Written last, since user space reads this too */
	u64 enter_ns;
	u32 slot; /* or NO_SLOT, SKIPPED */
	u32 traced; /* enum traced_how */
	u32 pid;
	u32 tid;
	u64 moved; /* how many calls of this CPU have gone to `waiting` */
	u32 uid; /* who it is counted for, whatever user the call makes of its caller; only with PROCESSES or GROUPS */
	u32 unused;
};

struct waiting_call {
	u64 enter_ns;
	u32 slot;
	u32 traced;
	u32 pid;
	u32 tid;
	char comm[COMM_LEN];
	u32 uid;
	u32 unused;
};

BPF_PERCPU_ARRAY(running, struct call, 1);
BPF_HASH(waiting, u64, struct waiting_call, 1);

/* What user space stores about each slot. */
enum call_fact {
	/* The low four bits: which argument is a path, number + 1; the next four: which other one. */
	PATHS_GO_WITH_SUCCESS = 256, /* an execve that succeeds leaves no memory to read them from */
	MAKES_TASKS = 512, /* returns in the child too */
	IGNORED = 1024,
	TRACED = 2048,
	LOOKED_AT_BEFORE = 4096, /* it changes memory or descriptors of which is reported what they were */
	/* From this bit on: the conditions of which one must hold, as bits; none: each call is reported. */
	CONDITIONS_SHIFT = 16,
};

BPF_ARRAY(call_facts, u32, SLOTS);

#include "syscalls_conditions.h"
#include "syscalls_traced.h"
#include "syscalls_values.h"
#include "syscalls_stacks.h"
#include "syscalls_walks.h"
#include "syscalls_before.h"

INLINE u32 slot_of(u64 nr, bool compat)
{
	if (compat)
		return nr < COMPAT_SLOTS ? COMPAT_BASE + nr : NO_SLOT;
	if (nr < NATIVE_SLOTS)
		return nr;
#ifdef HAVE_X32
	if (nr & X32_BIT && (nr & ~X32_BIT) < X32_SLOTS)
		return X32_BASE + (nr & ~X32_BIT);
#endif
	return NO_SLOT;
}

INLINE struct other_call other_call_of(u64 nr, bool compat)
{
	struct other_call key = {.abi = compat ? ABI_COMPAT : ABI_NATIVE, .nr = nr};

#ifdef HAVE_X32
	/* -1 has the bit too, but is not an x32 call. */
	if (!compat && key.nr >> 30 == 1) {
		key.abi = ABI_X32;
		key.nr &= ~X32_BIT;
	}
#endif
	return key;
}

INLINE void count_other(u64 nr, bool compat)
{
	struct other_call key = other_call_of(nr, compat);
	u64 none = 0;
	u64 *count = other_calls.lookup_or_try_init(&key, &none);

	if (count) {
		__sync_fetch_and_add(count, 1);
		return;
	}
	u32 zero = 0;

	count = overflow.lookup(&zero);
	if (count)
		__sync_fetch_and_add(count, 1);
}

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

/* What every handler but `ignore` does: count, and remember when the call began. */
INLINE void entered(const struct caller *caller, u32 slot, u32 is_traced)
{
	u32 zero = 0;
	struct count *count = PARAMETER(GROUPS) ? NULL : counts.lookup(&slot);

	if (count)
		count->entered += 1;
	if (PARAMETER(PROCESSES))
		count_process(caller, slot, (struct count){.entered = 1});
	if (!TIMES_CALLS && !is_traced)
		return;
	struct call *call = running.lookup(&zero);

	if (!call)
		return;
	call->task = 0; /* an earlier call whose return was missed */
	asm volatile("" ::: "memory");
	call->slot = slot;
	call->traced = is_traced;
	call->pid = caller->tgid;
	call->tid = caller->tid;
	call->uid = caller->uid;
	call->enter_ns = bpf_ktime_get_ns();
	asm volatile("" ::: "memory");
	call->task = (u64)caller->task;
}

/* Remember that there was an entry, and count nothing. *why*: SKIPPED, or NO_SLOT. */
INLINE void skip(const struct caller *caller, u32 why)
{
	u32 zero = 0;

	if (!TIMES_CALLS)
		return;
	struct call *call = running.lookup(&zero);

	if (!call)
		return;
	call->task = 0;
	asm volatile("" ::: "memory");
	call->slot = why;
	call->traced = 0;
	call->pid = caller->tgid;
	call->tid = caller->tid;
	if (PARAMETER(GROUPS)) {
		call->uid = caller->uid;
		call->enter_ns = bpf_ktime_get_ns();
	}
	asm volatile("" ::: "memory");
	call->task = (u64)caller->task;
}

/* ---- Enter ---- */

/* True without a further check if the filter leaves out only ebpftop itself, which is the usual case. */
INLINE bool matches_at_once(u32 tgid)
{
	u32 zero = 0;
	struct filter_config *config = filter_config.lookup(&zero);

	return config && config->hide_self_only && !is_own(config, tgid);
}

/* The whole machine waits for this program, so it is kept small: rarely needed work is in another program. */
int sys_enter(struct enter_ctx *ctx)
{
	struct caller caller = CURRENT_CALLER(ctx);
	u32 slot = slot_of(ENTER_NR(ctx), caller.compat);

	if (!caller.task)
		return 0;
	if (slot == NO_SLOT || !matches_at_once(caller.tgid)) {
		enter_slow_path.call(ctx, ENTER_SLOW_PATH);
		return 0;
	}
	if (!PARAMETER(GROUPS)) /* then the table is empty */
		handlers.call(ctx, slot);
	entered(&caller, slot, 0);
	return 0;
}

int sys_enter_slow_path(struct enter_ctx *ctx)
{
	u64 nr = ENTER_NR(ctx);
	struct caller caller = CURRENT_CALLER(ctx);
	u32 slot = slot_of(nr, caller.compat);

	if (!caller.task)
		return 0;
	if (!filter_matches(caller.tgid, NULL)) {
		skip(&caller, SKIPPED);
		return 0;
	}
	if (slot == NO_SLOT) {
		if (!PARAMETER(GROUPS))
			count_other(nr, caller.compat);
		skip(&caller, NO_SLOT);
		return 0;
	}
	if (!PARAMETER(GROUPS)) /* then the table is empty */
		handlers.call(ctx, slot);
	entered(&caller, slot, 0);
	return 0;
}

int handle_ignore(struct enter_ctx *ctx)
{
	struct caller caller = CURRENT_CALLER(ctx);

	if (caller.task)
		skip(&caller, SKIPPED);
	return 0;
}

int handle_trace(struct enter_ctx *ctx)
{
	struct caller caller = CURRENT_CALLER(ctx);
	u32 slot = slot_of(ENTER_NR(ctx), caller.compat);

	if (!caller.task)
		return 0;
	u32 returned = NEVER_RETURNED;
	enum traced_how how = trace_at_entry(ctx, &caller, slot, &returned);

	if (how == TRACED_BEFORE) {
		look_before(ctx, returned);
		how = NOT_TRACED;
	}
	entered(&caller, slot, how);
	return 0;
}

#include "syscalls_entered.h"

/* ---- Handlers of families: programs and timers. BCC's own bpf_trace_printk cannot stand in a macro. ---- */

#define PRINTK(text)                                   \
	if (PARAMETER(PRINTK)) {                       \
		char line[] = text;                    \
		bpf_trace_printk_(line, sizeof(line)); \
	}

INLINE int handle_family(struct enter_ctx *ctx, u32 family)
{
	struct caller caller = CURRENT_CALLER(ctx);
	u64 *count = families.lookup(&family);

	if (count)
		*count += 1;
	if (caller.task)
		entered(&caller, slot_of(ENTER_NR(ctx), caller.compat), 0);
	return 0;
}

int handle_exec(struct enter_ctx *ctx)
{
	PRINTK("Executing a program");
	return handle_family(ctx, FAMILY_EXEC);
}

int handle_timer_create(struct enter_ctx *ctx)
{
	PRINTK("Creating a timer");
	return handle_family(ctx, FAMILY_TIMER_CREATE);
}

int handle_timer_delete(struct enter_ctx *ctx)
{
	PRINTK("Deleting a timer");
	return handle_family(ctx, FAMILY_TIMER_DELETE);
}

int handle_timer_other(struct enter_ctx *ctx)
{
	PRINTK("Some other timer operation");
	return handle_family(ctx, FAMILY_TIMER_OTHER);
}

#include "syscalls_listed.h"
#include "syscalls_returned.h"
#include "syscalls_exit.h"
#include "syscalls_uring.h"
