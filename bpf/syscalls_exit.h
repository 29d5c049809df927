/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How calls end: durations and errors, and tasks that wait or end in the middle of one. Included by syscalls.c.
 */

INLINE u64 bucket_of(u64 delta_ns)
{
	u64 bucket = log2_of(delta_ns);

	return bucket < BUCKETS ? bucket : BUCKETS - 1;
}

#include "syscalls_groups.h"

INLINE void count_latency(u32 slot, u64 delta_ns)
{
	struct latency *latency = latencies.lookup(&slot);
	u64 bucket = bucket_of(delta_ns);

	if (!latency)
		return;
	latency->total_ns += delta_ns;
	if (delta_ns > latency->max_ns)
		latency->max_ns = delta_ns;
	latency->ns[bucket] += 1;
}

INLINE void count_failed_latency(u32 slot, u64 delta_ns)
{
	u32 zero = 0;
	u64 bucket = bucket_of(delta_ns);
	struct failed_latency *failed = failed_latencies.lookup(&slot);

	if (!failed) {
		struct failed_latency *none = no_latency.lookup(&zero);

		if (!none)
			return;
		failed_latencies.insert(&slot, none); /* another CPU may be first */
		failed = failed_latencies.lookup(&slot);
		if (!failed) {
			count_lost(LOST_MAP);
			return;
		}
	}
	failed->ns[bucket] += 1;
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
}

/* A pair that was evicted since the call began is not made again: it would have a time, and no call. */
INLINE void process_returned(const struct caller *caller, u32 slot, u64 delta_ns, u32 failed)
{
	struct process_call key = process_call_of(caller, slot);
	struct process_count *process = process_calls.lookup(&key);

	if (!process)
		return;
	process->errors += failed;
	process->total_ns += delta_ns;
	if (delta_ns > process->max_ns)
		process->max_ns = delta_ns;
}

/*
 * Returns without an entry come from the child of a fork, from calls that were entered before we attached, and from
 * calls that never reach sys_enter: seccomp denies them earlier, or (from Linux 7.3 on) the program was skipped because
 * it was preempted on this CPU. The last two are counted as calls. A task that started after `since_ns` cannot have
 * entered a call before it. For every other task the first such return is assumed to be of the call that it was in.
 */
BPF_ARRAY(since_ns, u64, 1); /* on the clock of process starts; 0: not yet, or no longer */
BPF_TABLE("lru_hash", u64, u64, returned_since, 16384); /* by task: the `since_ns` whose call has returned */

/*
 * Threads that were in a call before we attached, by tid: user space finds them in /proc and puts them here
 * (src/ebpftop/probes/entered_before.py). A thread that is no longer here has returned.
 */
BPF_HASH(entered_before_attach, u32, u32, 1);

INLINE void returned_from_before(u32 tid)
{
	entered_before_attach.delete(&tid);
}

/* An entry was lost, so a return without one proves nothing for tasks that run now. */
INLINE void forget_entries(void)
{
	u32 zero = 0;
	u64 *since = since_ns.lookup(&zero);
	u64 now = bpf_ktime_get_boot_ns();

	if (since && *since && *since < now)
		*since = now;
}

INLINE bool entered_before(const struct caller *caller)
{
	u32 zero = 0;
	u64 task = (u64)caller->task;
	u64 *since = since_ns.lookup(&zero);

	if (!since || !*since)
		return true;
	if (read_u64(caller->task, OFF_TASK_START_BOOTTIME) > *since)
		return false;
	u64 now = *since;
	u64 *returned = returned_since.lookup(&task);

	if (returned && *returned == now)
		return false;
	returned_since.update(&task, &now);
	return true;
}

INLINE void count_other_failure(u64 nr, bool compat, u32 error)
{
	struct other_call call = other_call_of(nr, compat);
	struct other_failure key = {.abi = call.abi, .nr = call.nr, .error = error};
	u64 none = 0;
	u64 *count = other_failures.lookup_or_try_init(&key, &none);

	if (count)
		__sync_fetch_and_add(count, 1);
	else
		count_lost(LOST_MAP);
}

/* A call that the table has no slot for. */
int sys_exit_no_slot(struct exit_ctx *ctx)
{
	struct caller caller = CURRENT_CALLER(ctx);
	u32 error = error_of(EXIT_RET(ctx));

	if (caller.task && error)
		count_other_failure(EXIT_NR(ctx), caller.compat, error);
	return 0;
}

/* A return without an entry. */
int sys_exit_slow_path(struct exit_ctx *ctx)
{
	struct caller caller = CURRENT_CALLER(ctx);
	u32 nr = EXIT_NR(ctx);
	s64 ret = EXIT_RET(ctx);
	/* Hidden from the verifier, which would check all paths twice. */
	volatile u32 error = error_of(ret);

	if (!caller.task)
		return 0;
	returned_from_before(caller.tid);
	u32 slot = slot_of(nr, caller.compat);
	u32 *known = call_facts.lookup(&slot);
	u32 facts = known ? *known : 0;

	/* What the kernel itself starts returns first as call 0. rt_sigreturn and tracers leave -1 behind. */
	if (nr == (u32)-1 || (!ret && (!nr || facts & MAKES_TASKS)))
		return 0;
	if (entered_before(&caller) || facts & IGNORED || !filter_matches(caller.tgid, NULL))
		return 0;
	if (PARAMETER(GROUPS)) {
		count_group(ctx, &caller, slot, false, 0, error);
		return 0;
	}
	if (slot == NO_SLOT) {
		count_other(nr, caller.compat);
		if (error)
			count_other_failure(nr, caller.compat, error);
		return 0;
	}
	struct count *count = counts.lookup(&slot);

	if (count)
		count->unentered += 1;
	if (PARAMETER(PROCESSES))
		count_process(&caller, slot, (struct count){.unentered = 1});
	if (error) {
		count_failure(slot, error);
		if (PARAMETER(PROCESSES))
			process_returned(&caller, slot, 0, 1);
	}
#ifndef VIA_TRACEPOINT
	/* The registers can still be read; a tracepoint has none at the exit. */
	if (facts & TRACED)
		return_traced(ctx, slot, 0);
#endif
	return 0;
}

/* Programs of their own, since the whole machine waits for sys_exit. */
INLINE void return_by_slow_path(struct exit_ctx *ctx, enum slow_path how)
{
	if (TIMES_CALLS)
		exit_slow_paths.call(ctx, how);
}

/* Move the call of *task* from `waiting` to *copy*; false if it is not there. */
INLINE bool pop_waiting(u64 task, struct call *copy)
{
	struct waiting_call *waited = waiting.lookup(&task);

	if (!waited)
		return false;
	copy->enter_ns = waited->enter_ns;
	copy->slot = waited->slot;
	copy->traced = waited->traced;
	copy->uid = waited->uid;
	waiting.delete(&task);
	return true;
}

#define NOW(member) (*(volatile u64 *)&(member))

int sys_exit(struct exit_ctx *ctx)
{
	u32 zero = 0;
	struct caller caller = CURRENT_CALLER(ctx);
	u64 task = (u64)caller.task;
	struct call *call = running.lookup(&zero);
	struct call copy = {};

	if (!call || !caller.task)
		return 0;
	u64 moved = NOW(call->moved);

	if (NOW(call->task) == task) {
		copy.enter_ns = call->enter_ns;
		copy.slot = call->slot;
		copy.traced = call->traced;
		copy.uid = call->uid;
		asm volatile("" ::: "memory");
		NOW(call->task) = 0;
		/* Preempted since `moved` was read (see ebpftop.h): on_sched_switch may have moved the call, and
		 * others followed. */
		if (NOW(call->moved) != moved)
			pop_waiting(task, &copy);
	} else if (!pop_waiting(task, &copy)) { /* it never entered, or entered before we attached; else it slept */
		return_by_slow_path(ctx, SLOW_PATH_RETURNED);
		return 0;
	}
	u32 slot = copy.slot;

	if (slot >= SLOTS && (slot != NO_SLOT || !PARAMETER(GROUPS))) {
		if (slot == NO_SLOT)
			return_by_slow_path(ctx, SLOW_PATH_NO_SLOT);
		return 0;
	}
	u64 delta_ns = bpf_ktime_get_ns() - copy.enter_ns;
	s64 ret = EXIT_RET(ctx);
	u32 error = error_of(ret);

	/* rt_sigreturn leaves with number -1 and the interrupted call's result: no failure of its own. */
	if (error && TIMES_CALLS && EXIT_NR(ctx) == -1)
		error = 0;
	if (PARAMETER(GROUPS)) {
		caller.uid = copy.uid;
		count_group(ctx, &caller, slot, true, delta_ns, error);
		return 0;
	}
	if (PARAMETER(LATENCY)) {
		count_latency(slot, delta_ns);
		if (error) {
			count_failure(slot, error);
			count_failed_latency(slot, delta_ns);
		}
		if (PARAMETER(PROCESSES)) {
			caller.uid = copy.uid;
			process_returned(&caller, slot, delta_ns, error != 0);
		}
	}
	if (copy.traced)
		return_traced(ctx, slot, delta_ns);
	return 0;
}

/* The task leaves the CPU; if it is in a call, the call goes with it. raw tracepoint args: preempt, prev, next */
int on_sched_switch(void *ctx)
{
	u32 zero = 0;
	u64 task = bpf_get_current_task(); /* still the one that leaves */
	struct call *call = running.lookup(&zero);

	if (!call)
		return 0;
	if (call->task != task) {
		if (PARAMETER(STACKS) && !IS_PREEMPTED(ctx))
			sleeps_again(ctx, task);
		return 0;
	}
	struct waiting_call waits = {
		.enter_ns = call->enter_ns,
		.slot = call->slot,
		.traced = call->traced,
		.pid = call->pid,
		.tid = call->tid,
		.uid = call->uid,
	};

	if (PARAMETER(STACKS) && call->traced && !IS_PREEMPTED(ctx))
		keep_kernel_stack(ctx, task);
	call->task = 0;
	call->moved += 1;
	bpf_get_current_comm(waits.comm, COMM_LEN);
	if (waiting.update(&task, &waits)) {
		count_lost(LOST_MAP);
		forget_entries();
	}
	return 0;
}

/* exit, exit_group, and tasks that are killed inside a call: the call will not return. */
int on_task_exit(void *ctx)
{
	u32 zero = 0;
	u64 task = bpf_get_current_task();
	struct call *call = running.lookup(&zero);

	if (PARAMETER(GROUPS))
		count_unreturned_call(task);
	if (call && call->task == task)
		call->task = 0;
	waiting.delete(&task);
	returned_from_before(bpf_get_current_pid_tgid());
	if (PARAMETER(STACKS))
		forget_kernel_stack(task);
	if (is_tracing())
		send_unreturned(ctx, task);
	return 0;
}
