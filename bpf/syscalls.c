/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The system calls of every process: one program at sys_enter makes a tail call to the handler of that call, through a
 * table that user space edits while it runs. An empty slot falls through: count.
 *
 * Golden facts (tests/kernel/test_syscalls.py): fork enters once and returns twice; exit_group never returns;
 * rt_sigreturn returns with number -1; execveat returns as execve. So calls are counted when they enter, and an exit
 * belongs to the call that its task entered last, whatever its number is.
 *
 * syscalls_caller.h: who calls. syscalls_slots.h: the slot of each call; syscalls_counts.h: what is counted of it,
 * syscalls_processes.h: of whose calls; syscalls_families.h: handlers. syscalls_traced.h: calls that are reported one by one;
 * syscalls_conditions.h: which of them; syscalls_values.h: the memory behind their arguments, syscalls_listed.h: lists in it;
 * syscalls_walks.h: their files; syscalls_stacks.h: where they were made; syscalls_before.h: what they will change;
 * syscalls_returned.h: how that is put together. syscalls_exit.h: how calls end; syscalls_groups.h: what cgroups and programs
 * ask for.
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
#include "syscalls_slots.h"
#include "syscalls_counts.h"
#include "syscalls_processes.h"

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

#include "syscalls_families.h"
#include "syscalls_listed.h"
#include "syscalls_returned.h"
#include "syscalls_exit.h"
#include "syscalls_uring.h"
