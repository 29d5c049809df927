/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What every process asks of the kernel: one program at sys_enter that tail-calls, through a table that user space
 * edits while it runs, into what is to be done with that call. An empty slot falls through: count.
 *
 * Golden facts (tests/kernel/test_syscalls.py): fork enters once and returns twice; exit_group never returns;
 * rt_sigreturn returns with number -1; execveat returns as execve. So calls are counted when they enter, and an exit
 * belongs to what its task entered last, whatever number it bears.
 */
#include "ebpftop.h"

#define ARGS 6
#define BUCKETS 44
#define PATHS 2
#define PATH_LEN 256
#define NO_SLOT 0xffffffff

/* Where the calls of an ABI lie in the table: its native one first. x32 borrows most numbers of x86-64 and has its own
 * from 512 on. */
#define SLOTS 1600
#define NATIVE_SLOTS 512
#define COMPAT_BASE 512
#define COMPAT_SLOTS 512
#define X32_BASE 1024
#define X32_SLOTS 576
#define X32_BIT 0x40000000

/* User space chooses by `-D` what is compiled in at all, since whatever is asked at run time is asked for every call of
 * the machine: WITH_LATENCY (durations and errors), WITH_PROCESSES (who calls), WITH_SAY (bpf_trace_printk). */

enum abi { ABI_NATIVE, ABI_COMPAT, ABI_X32 };
enum family { FAMILY_EXEC, FAMILY_TIMER_CREATE, FAMILY_TIMER_DELETE, FAMILY_TIMER_OTHER, FAMILIES };

BPF_PROG_ARRAY(handlers, SLOTS);
BPF_PROG_ARRAY(otherwise, 1);

BPF_PERCPU_ARRAY(counts, u64, SLOTS);
BPF_PERCPU_ARRAY(families, u64, FAMILIES);

/* Numbers that have no slot: the kernel answers ENOSYS, but somebody asked. */
struct other_call {
	u32 abi;
	u32 nr;
};

BPF_HASH(other_calls, struct other_call, u64, 1024);
BPF_PERCPU_ARRAY(overflow, u64, 1);

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

struct process_call {
	u32 tgid;
	u32 slot;
};

/* Bounded: what falls out of it is the difference to `counts`. */
struct process_count {
	u64 count;
	u64 errors;
	char comm[COMM_LEN];
};

BPF_TABLE("lru_percpu_hash", struct process_call, struct process_count, process_calls, PROCESS_CALLS_MAX);

/*
 * The call that the task on this CPU is in. A task that leaves the CPU in the middle of a call takes it along into
 * `waiting`, so an exit finds its enter exactly, calls that do not sleep never touch a hash, and `waiting` is just the
 * calls in flight. Tasks are known by address: a thread that execs changes its tid in the middle of the call.
 */
struct call {
	u64 task; /* 0: none */
	u64 enter_ns;
	u32 slot;
	u32 traced;
	u64 skipped; /* a task whose call is not wanted, so that its exit need not look */
};

struct waiting_call {
	u64 enter_ns;
	u32 slot;
	u32 traced;
	u32 pid;
	u32 tid;
	char comm[COMM_LEN];
};

BPF_PERCPU_ARRAY(running, struct call, 1);
BPF_HASH(waiting, u64, struct waiting_call, WAITING_MAX);

/* ---- Traced calls ---- */

struct traced_call {
	u64 time_ns;
	u64 duration_ns;
	s64 ret;
	u64 args[ARGS];
	u32 pid;
	u32 tid;
	u32 slot;
	u32 returned;
	char comm[COMM_LEN];
	char path[PATHS][PATH_LEN];
};

BPF_HASH(traced, u64, struct traced_call, 8192);
BPF_PERCPU_ARRAY(traced_scratch, struct traced_call, 1);

/* Which arguments are paths: the low four bits for the first, the next four for the second; argument number + 1. */
#define PATHS_GO_WITH_SUCCESS 256 /* an execve that succeeds leaves no memory to read them from */

BPF_ARRAY(path_args, u32, SLOTS);

struct budget {
	u64 second;
	u64 used;
};

BPF_PERCPU_ARRAY(budgets, struct budget, 1);
BPF_PERCPU_ARRAY(over_budget, u64, 1);

/* ---- What a context looks like under each kind of attachment ---- */

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
#define ENTER_NR(ctx) ((ctx)->args[1])
#define EXIT_RET(ctx) ((s64)(ctx)->args[1])
#define EXIT_NR(ctx) ((s32)read_u32((void *)(ctx)->args[0], OFF_REGS_NR))
#endif

/* What is asked of every task at every call. A helper call costs as much as the counting itself, so where the kernel has
 * bpf_get_current_task_btf (5.11), the memory behind it is read directly. */
struct caller {
	u32 tgid;
	bool compat; /* in a 32-bit call: COMPAT_MASK of the u32 at OFF_TASK_COMPAT */
};

INLINE struct caller current_caller(void)
{
	struct caller caller = {};
#ifdef HAVE_TASK_BTF
	char *task = ((char *(*)(void))158)();

	caller.tgid = *(u32 *)(task + OFF_TASK_TGID);
#ifdef OFF_TASK_COMPAT
	caller.compat = *(u32 *)(task + OFF_TASK_COMPAT) & COMPAT_MASK;
#endif
#else
	caller.tgid = bpf_get_current_pid_tgid() >> 32;
#ifdef OFF_TASK_COMPAT
	caller.compat = read_u32((void *)bpf_get_current_task(), OFF_TASK_COMPAT) & COMPAT_MASK;
#endif
#endif
	return caller;
}

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

INLINE void count_other(u64 nr, bool compat)
{
	struct other_call key = {.abi = compat ? ABI_COMPAT : ABI_NATIVE, .nr = nr};
	u64 none = 0;

#ifdef HAVE_X32
	/* -1 has the bit too, but is nobody's x32 call. */
	if (!compat && key.nr >> 30 == 1) {
		key.abi = ABI_X32;
		key.nr &= ~X32_BIT;
	}
#endif
	u64 *count = other_calls.lookup_or_try_init(&key, &none);

	if (count) {
		__sync_fetch_and_add(count, 1);
		return;
	}
	u32 zero = 0;

	count = overflow.lookup(&zero);
	if (count)
		*count += 1;
}

INLINE void count_process(u32 slot, u32 tgid)
{
	struct process_call key = {.tgid = tgid, .slot = slot};
	struct process_count *count = process_calls.lookup(&key);

	if (count) {
		/* Now and then, since a process that execs gets another name. */
		if (!(count->count & 63))
			bpf_get_current_comm(count->comm, COMM_LEN);
		count->count += 1;
	} else {
		struct process_count first = {.count = 1};

		bpf_get_current_comm(first.comm, COMM_LEN);
		process_calls.update(&key, &first);
	}
}

/* What every handler but `ignore` does: count, and remember when the call began. */
INLINE void entered(u32 slot, u32 tgid, u32 is_traced)
{
	u32 zero = 0;
	u64 *count = counts.lookup(&slot);

	if (count)
		*count += 1;
#ifdef WITH_PROCESSES
	count_process(slot, tgid);
#endif
#ifndef WITH_LATENCY
	if (!is_traced)
		return;
#endif
	struct call *call = running.lookup(&zero);

	if (!call)
		return;
	call->slot = slot;
	call->traced = is_traced;
	call->enter_ns = bpf_ktime_get_ns();
	call->task = bpf_get_current_task();
}

INLINE void skip(void)
{
#ifdef WITH_LATENCY
	u32 zero = 0;
	struct call *call = running.lookup(&zero);

	if (call) {
		call->task = 0;
		call->skipped = bpf_get_current_task();
	}
#endif
}

/* ---- Enter ---- */

/* True without asking further where the filter leaves out nobody but ebpftop itself, as it mostly does. */
INLINE bool plainly_wanted(u32 tgid)
{
	u32 zero = 0;
	struct filter_config *config = filter_config.lookup(&zero);

	return config && tgid != config->self &&
	       config->slot[config->active & (FILTER_SLOTS - 1)].flags == FILTER_HIDE_SELF;
}

/* The whole machine waits for this program, so it is kept small: what is rarely needed is a program of its own. */
int sys_enter(struct enter_ctx *ctx)
{
	struct caller caller = current_caller();
	u32 slot = slot_of(ENTER_NR(ctx), caller.compat);

	if (slot == NO_SLOT || !plainly_wanted(caller.tgid)) {
		otherwise.call(ctx, 0);
		return 0;
	}
	handlers.call(ctx, slot);
	entered(slot, caller.tgid, 0);
	return 0;
}

int sys_enter_otherwise(struct enter_ctx *ctx)
{
	u64 nr = ENTER_NR(ctx);
	struct caller caller = current_caller();
	u32 slot = slot_of(nr, caller.compat);

	if (!wanted_of(caller.tgid, NULL)) {
		skip();
		return 0;
	}
	if (slot == NO_SLOT) {
		count_other(nr, caller.compat);
		skip();
		return 0;
	}
	handlers.call(ctx, slot);
	entered(slot, caller.tgid, 0);
	return 0;
}

INLINE void count_family(u32 family)
{
	u64 *count = families.lookup(&family);

	if (count)
		*count += 1;
}

INLINE void handled(u64 nr)
{
	struct caller caller = current_caller();

	entered(slot_of(nr, caller.compat), caller.tgid, 0);
}

int handle_exec(struct enter_ctx *ctx)
{
	count_family(FAMILY_EXEC);
#ifdef WITH_SAY
	bpf_trace_printk("Executing a program");
#endif
	handled(ENTER_NR(ctx));
	return 0;
}

int handle_timer_create(struct enter_ctx *ctx)
{
	count_family(FAMILY_TIMER_CREATE);
#ifdef WITH_SAY
	bpf_trace_printk("Creating a timer");
#endif
	handled(ENTER_NR(ctx));
	return 0;
}

int handle_timer_delete(struct enter_ctx *ctx)
{
	count_family(FAMILY_TIMER_DELETE);
#ifdef WITH_SAY
	bpf_trace_printk("Deleting a timer");
#endif
	handled(ENTER_NR(ctx));
	return 0;
}

int handle_timer_other(struct enter_ctx *ctx)
{
	count_family(FAMILY_TIMER_OTHER);
#ifdef WITH_SAY
	bpf_trace_printk("Some other timer operation");
#endif
	handled(ENTER_NR(ctx));
	return 0;
}

int handle_ignore(struct enter_ctx *ctx)
{
	skip();
	return 0;
}

INLINE bool within_budget(void)
{
	u32 zero = 0;
	struct budget *budget = budgets.lookup(&zero);

	if (!budget)
		return false;
	u64 second = bpf_ktime_get_ns() / 1000000000;

	if (budget->second != second) {
		budget->second = second;
		budget->used = 0;
	}
	if (budget->used >= TRACE_PER_SECOND) {
		u64 *count = over_budget.lookup(&zero);

		if (count)
			*count += 1;
		return false;
	}
	budget->used += 1;
	return true;
}

INLINE void read_paths(struct traced_call *call)
{
	u32 slot = call->slot;
	u32 *which = path_args.lookup(&slot);

	if (!which || (call->returned && call->ret >= 0 && *which & PATHS_GO_WITH_SUCCESS))
		return;
#pragma unroll
	for (int i = 0; i < PATHS; i++) {
		u64 argument = *which >> 4 * i & 15;

		if (!argument || call->path[i][0])
			continue;
		argument -= 1;
		if (argument < ARGS)
			read_user_string(call->path[i], PATH_LEN, (void *)call->args[argument]);
	}
}

int handle_trace(struct enter_ctx *ctx)
{
	u32 zero = 0;
	struct caller caller = current_caller();
	u32 slot = slot_of(ENTER_NR(ctx), caller.compat);
	u64 task = bpf_get_current_task();
	u64 pid_tgid = bpf_get_current_pid_tgid();
	struct traced_call *call = traced_scratch.lookup(&zero);
	u32 is_traced = 0;

	if (call && within_budget()) {
		call->time_ns = bpf_ktime_get_ns();
		call->pid = pid_tgid >> 32;
		call->tid = pid_tgid;
		call->slot = slot;
		call->returned = 0;
		call->ret = 0;
		call->duration_ns = 0;
		call->path[0][0] = 0;
		call->path[1][0] = 0;
		bpf_get_current_comm(call->comm, COMM_LEN);
#ifdef VIA_TRACEPOINT
#pragma unroll
		for (int i = 0; i < ARGS; i++)
			call->args[i] = ctx->args[i];
#else
		void *regs = (void *)ctx->args[0];

		if (caller.compat) {
			call->args[0] = read_u32(regs, OFF_REGS_COMPAT_ARG1);
			call->args[1] = read_u32(regs, OFF_REGS_COMPAT_ARG2);
			call->args[2] = read_u32(regs, OFF_REGS_COMPAT_ARG3);
			call->args[3] = read_u32(regs, OFF_REGS_COMPAT_ARG4);
			call->args[4] = read_u32(regs, OFF_REGS_COMPAT_ARG5);
			call->args[5] = read_u32(regs, OFF_REGS_COMPAT_ARG6);
		} else {
			call->args[0] = read_u64(regs, OFF_REGS_ARG1);
			call->args[1] = read_u64(regs, OFF_REGS_ARG2);
			call->args[2] = read_u64(regs, OFF_REGS_ARG3);
			call->args[3] = read_u64(regs, OFF_REGS_ARG4);
			call->args[4] = read_u64(regs, OFF_REGS_ARG5);
			call->args[5] = read_u64(regs, OFF_REGS_ARG6);
		}
#endif
		read_paths(call);
		if (traced.update(&task, call))
			count_lost(LOST_MAP);
		else
			is_traced = 1;
	}
	entered(slot, caller.tgid, is_traced);
	return 0;
}

/* ---- Exit ---- */

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

INLINE void count_latency(u32 slot, u64 delta_ns)
{
	struct latency *latency = latencies.lookup(&slot);
	u64 bucket = log2_of(delta_ns);

	if (!latency)
		return;
	latency->total_ns += delta_ns;
	if (delta_ns > latency->max_ns)
		latency->max_ns = delta_ns;
	if (bucket >= BUCKETS)
		bucket = BUCKETS - 1;
	latency->ns[bucket] += 1;
}

INLINE void count_failure(u32 slot, u32 error)
{
	struct failure key = {.slot = slot, .error = error};
	u64 one = 1;
	u64 *count = failures.lookup(&key);

	if (count)
		*count += 1;
	else if (failures.update(&key, &one))
		count_lost(LOST_MAP);
#ifdef WITH_PROCESSES
	struct process_call who = {.tgid = bpf_get_current_pid_tgid() >> 32, .slot = slot};
	struct process_count *process = process_calls.lookup(&who);

	if (process)
		process->errors += 1;
#endif
}

/* Hand a traced call over; *delta_ns* and *ret* count only where it returned. */
INLINE void send_traced(void *ctx, u64 task, bool has_returned, u64 delta_ns, s64 ret)
{
	struct traced_call *call = traced.lookup(&task);

	if (!call)
		return;
	call->returned = has_returned;
	call->duration_ns = delta_ns;
	call->ret = ret;
	if (has_returned)
		read_paths(call); /* what was not resident at entry is now */
	submit(ctx, call, sizeof(*call));
	traced.delete(&task);
}

int sys_exit(struct exit_ctx *ctx)
{
	u32 zero = 0;
	u64 task = bpf_get_current_task();
	struct call *call = running.lookup(&zero);
	u64 enter_ns;
	u32 slot, is_traced;

	if (!call)
		return 0;
	if (call->skipped == task) {
		call->skipped = 0;
		return 0;
	}
	if (call->task == task) {
		enter_ns = call->enter_ns;
		slot = call->slot;
		is_traced = call->traced;
		call->task = 0;
	} else {
		/* It slept, it never entered (a child of fork), or it entered before we came. */
		struct waiting_call *waited = waiting.lookup(&task);

		if (!waited)
			return 0;
		enter_ns = waited->enter_ns;
		slot = waited->slot;
		is_traced = waited->traced;
		waiting.delete(&task);
	}
	u64 delta_ns = bpf_ktime_get_ns() - enter_ns;
	s64 ret = EXIT_RET(ctx);

#ifdef WITH_LATENCY
	count_latency(slot, delta_ns);
	/* rt_sigreturn leaves with number -1 and the interrupted call's result: no failure of its own. */
	if (ret < 0 && ret >= -4095 && EXIT_NR(ctx) != -1)
		count_failure(slot, -ret);
#endif
	if (is_traced)
		send_traced(ctx, task, true, delta_ns, ret);
	return 0;
}

/* The task leaves the CPU; if it is in a call, the call goes with it. raw tracepoint args: preempt, prev, next */
int call_waits(void *ctx)
{
	u32 zero = 0;
	u64 task = bpf_get_current_task(); /* still the one that leaves */
	struct call *call = running.lookup(&zero);

	if (!call)
		return 0;
	if (call->skipped == task)
		call->skipped = 0;
	if (call->task != task)
		return 0;
	u64 pid_tgid = bpf_get_current_pid_tgid();
	struct waiting_call waits = {
		.enter_ns = call->enter_ns,
		.slot = call->slot,
		.traced = call->traced,
		.pid = pid_tgid >> 32,
		.tid = pid_tgid,
	};

	call->task = 0;
	bpf_get_current_comm(waits.comm, COMM_LEN);
	if (waiting.update(&task, &waits))
		count_lost(LOST_MAP);
	return 0;
}

/* exit, exit_group, and whoever is killed inside a call: nothing will return any more. */
int call_ends(void *ctx)
{
	u32 zero = 0;
	u64 task = bpf_get_current_task();
	struct call *call = running.lookup(&zero);

	if (call && call->task == task)
		call->task = 0;
	waiting.delete(&task);
	send_traced(ctx, task, false, 0, 0);
	return 0;
}
