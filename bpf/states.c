/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What each thread does: it runs, it waits for a CPU (is runnable), or it is blocked, in which call, until somebody
 * wakes it.
 *
 * A thread's entry says what it does now, since when, and how long it did what before. Three programs change it: the
 * thread wakes (sched_waking: in the context of whoever wakes it), gets a CPU, leaves it (both sched_switch). The
 * kernel does these under the thread's own lock or that of its run queue, one after the other, so an entry has one
 * writer at a time, and needs no atomic instruction. Time that goes on is added by user space.
 *
 * states_blocked.h: in which call a thread is blocked, and how long. states_wakers.h: who wakes it.
 */
#include "ebpftop.h"
#include "compat.h"

/* include/linux/sched.h. Those of exiting, parked and frozen tasks are not needed. */
#define TASK_UNINTERRUPTIBLE 0x2
#define TASK_STOPPED_OR_TRACED 0xc
#define TASK_DEAD 0x80
#define TASK_WAKING 0x200
#define TASK_NOLOAD 0x400 /* with the bit of TASK_UNINTERRUPTIBLE: idle threads of the kernel */

enum thread_state { RUNNING, RUNNABLE, BLOCKED, UNINTERRUPTIBLE, STOPPED };
enum decision { UNDECIDED, MATCHES, LEFT_OUT };

/* A call is its number as the kernel has it, with x32's bit; one of the compat ABI has the topmost bit too. */
#define COMPAT_CALL 0x80000000
#define NO_CALL 0xffffffff
#define CALL_BEFORE 0xfffffffe /* the one that it was in when we began: user space knows it from /proc */
#define CALLS 4
#define WAKERS 4

/* Wakers that are no process. */
#define WAKER_SOFTIRQ 0xffffffff
#define WAKER_IRQ 0xfffffffe
#define WAKER_INTERRUPT 0xfffffffd /* one of both */

struct blocked {
	u64 ns;
	u64 max_ns;
	u64 count; /* 0: the place is free */
	u32 call;
	u32 unused;
};

struct waker {
	u64 count; /* 0: the place is free */
	u32 pid;
	u32 unused;
};

/* User space copies an entry while it may change: it is whole if `end` equals `begin`, which lies behind all else. */
struct thread {
	u64 end;
	u64 since_ns;
	u64 running_ns;
	u64 runnable_ns;
	u64 blocked_ns;
	u64 preempted;
	u64 wakeups;
	u64 start_ns; /* of its process, since boot */
	u32 tgid;     /* 0: the idle thread of a CPU */
	u32 tid;
	u32 uid;
	u32 state;    /* enum thread_state */
	u32 decision; /* enum decision: what the filter said when it left its CPU last */
	u32 call;     /* that it is blocked in */
	char comm[COMM_LEN];
	struct blocked calls[CALLS];
	struct waker wakers[WAKERS];
	u64 moved; /* calls that went to `moved_calls` */
	u64 begin;
};

/* By the address of the task: a thread that execs changes its tid. The loader sets the sizes. */
BPF_HASH(threads, u64, struct thread, 1);
BPF_ARRAY(blank, struct thread, 1); /* an entry is too large for the stack */

struct ended_thread {
	u64 task;
	u64 ended_ns;
};

/* User space reads and deletes them. */
BPF_HASH(ended_threads, struct ended_thread, struct thread, 1);

struct process_call {
	u64 start_ns;
	u32 tgid;
	u32 call;
};

struct call_time {
	u64 ns;
	u64 max_ns;
	u64 count;
};

/* Of threads that are blocked in more calls than their entries have places for. */
BPF_HASH(moved_calls, struct process_call, struct call_time, 1);

struct watch {
	u64 since_ns; /* threads that have no entry do what they do since then, at least; 0: not yet attached */
};

BPF_ARRAY(watched, struct watch, 1);

struct cpu_time {
	u64 since_ns; /* the last switch; 0: none yet */
	u64 running_ns;
	u64 idle_ns;
	u64 switches;
	u64 runnable_ns; /* that threads had waited when they got this CPU */
	u64 is_idle;
	u64 task; /* that got the CPU at the last switch */
};

BPF_PERCPU_ARRAY(cpu_times, struct cpu_time, 1);

INLINE void begin_change(struct thread *thread)
{
	thread->begin += 1;
	asm volatile("" ::: "memory");
}

INLINE void end_change(struct thread *thread)
{
	asm volatile("" ::: "memory");
	thread->end = thread->begin;
}

/* Make an entry for *task*, which need not be the current one. */
INLINE struct thread *new_thread(u64 task, enum thread_state state, struct watch *watch, u64 now_ns)
{
	u32 zero = 0;
	struct thread *none = blank.lookup(&zero);

	if (!none)
		return NULL;
	if (threads.update(&task, none)) {
		count_lost(LOST_MAP);
		watch->since_ns = now_ns; /* what is missing from now on may only just have become what it is */
		return NULL;
	}
	struct thread *thread = threads.lookup(&task);

	if (!thread)
		return NULL;
	void *leader = read_pointer((void *)task, OFF_TASK_GROUP_LEADER);

	thread->state = state;
	thread->since_ns = watch->since_ns;
	thread->call = CALL_BEFORE;
	thread->start_ns = read_u64(leader, OFF_TASK_START_BOOTTIME);
	thread->tgid = read_u32((void *)task, OFF_TASK_TGID);
	thread->tid = read_u32((void *)task, OFF_TASK_PID);
	thread->uid = read_u32(read_pointer((void *)task, OFF_TASK_CRED), OFF_CRED_UID);
	bpf_probe_read_kernel(thread->comm, COMM_LEN, (char *)task + OFF_TASK_COMM);
	return thread;
}

#include "states_blocked.h"
#include "states_wakers.h"

/* ---- Woken ---- */

/* raw tracepoint args: the thread that is woken. The current task wakes it, or what interrupted that. */
int states_on_sched_waking(struct bpf_raw_tracepoint_args *ctx)
{
	u32 zero = 0;
	u64 task = ctx->args[0];
	struct watch *watch = watched.lookup(&zero);

	if (!watch || !watch->since_ns)
		return 0;
	u64 now_ns = bpf_ktime_get_ns();
	struct thread *thread = threads.lookup(&task);

	if (!thread)
		thread = new_thread(task, BLOCKED, watch, now_ns);
	if (!thread || thread->state < BLOCKED)
		return 0; /* it has not left its CPU yet, and need not */
	begin_change(thread);
	end_block(thread, now_ns);
	thread->wakeups += 1;
	count_waker(thread, current_waker());
	end_change(thread);
	return 0;
}

/*
 * raw tracepoint args: the thread that is runnable now. sched_waking may come while the thread is still on its way to
 * sleep; this one comes when it is over.
 */
int states_on_sched_wakeup(struct bpf_raw_tracepoint_args *ctx)
{
	u64 task = ctx->args[0];
	struct thread *thread = threads.lookup(&task);

	if (!thread || thread->state < BLOCKED)
		return 0;
	begin_change(thread);
	end_block(thread, bpf_ktime_get_ns());
	thread->wakeups += 1;
	end_change(thread);
	return 0;
}

/* raw tracepoint args: a new thread, which has just become runnable. */
int states_on_sched_wakeup_new(struct bpf_raw_tracepoint_args *ctx)
{
	u32 zero = 0;
	u64 task = ctx->args[0];
	struct watch *watch = watched.lookup(&zero);

	if (!watch || !watch->since_ns)
		return 0;
	u64 now_ns = bpf_ktime_get_ns();
	struct thread *thread = new_thread(task, RUNNABLE, watch, now_ns);

	if (thread)
		thread->since_ns = now_ns;
	return 0;
}

/* ---- On a CPU ---- */

INLINE void identify(struct thread *thread, void *task)
{
	/* An execve changes its tid, name and user; a process may change the last two at any time. */
	thread->tid = load_u32(task, OFF_TASK_PID);
	thread->uid = load_cred(task, OFF_CRED_UID);
	load_comm(thread->comm, task);
	thread->decision = filter_matches(thread->tgid, load_pointer(task, OFF_TASK_GROUP_LEADER)) ? MATCHES : LEFT_OUT;
}

INLINE void end_thread(u64 task, struct thread *thread, u64 now_ns)
{
	struct ended_thread key = {.task = task, .ended_ns = now_ns};

	thread->since_ns = now_ns;
	end_change(thread);
	if (thread->decision == MATCHES && ended_threads.update(&key, thread))
		count_lost(LOST_MAP);
	threads.delete(&task);
}

INLINE void arrive(struct thread *thread, struct cpu_time *cpu, u64 now_ns)
{
	if (thread->state >= BLOCKED) /* woken while we were not attached there */
		end_block(thread, now_ns);
	if (thread->state == RUNNABLE && thread->tgid) {
		u64 delta_ns = now_ns - thread->since_ns;

		thread->runnable_ns += delta_ns;
		cpu->runnable_ns += delta_ns;
	}
	thread->state = RUNNING;
	thread->since_ns = now_ns;
}

/* The current task leaves its CPU. */
INLINE void leave(u64 task, struct thread *thread, struct cpu_time *cpu, bool preempted, u64 now_ns)
{
	begin_change(thread);
	if (thread->state != RUNNING) /* its switch was not seen, and came after the last one that was */
		arrive(thread, cpu, cpu->since_ns > thread->since_ns ? cpu->since_ns : thread->since_ns);
	thread->running_ns += now_ns - thread->since_ns;
	if (!thread->tgid) {
		thread->state = RUNNABLE;
		thread->since_ns = now_ns;
		end_change(thread);
		return;
	}
	void *current = current_task();
	u32 state = preempted ? 0 : load_u32(current, OFF_TASK_STATE);

	identify(thread, current);
	if (state & TASK_DEAD) {
		end_thread(task, thread, now_ns);
		return;
	}
	thread->since_ns = now_ns;
	if (!state || state & TASK_WAKING) {
		thread->preempted += 1;
		thread->state = RUNNABLE;
	} else if (state & TASK_STOPPED_OR_TRACED) {
		thread->call = NO_CALL;
		thread->state = STOPPED;
	} else {
		thread->call = current_call(current);
		thread->state = (state & (TASK_UNINTERRUPTIBLE | TASK_NOLOAD)) == TASK_UNINTERRUPTIBLE ? UNINTERRUPTIBLE
												       : BLOCKED;
	}
	end_change(thread);
}

/*
 * *task* got the CPU at *since_ns*, and does not have it any more: a switch was not seen (see ebpftop.h about programs that
 * do not run). Nobody knows since when, and why.
 */
INLINE void left_unseen(u64 task, u64 since_ns)
{
	struct thread *thread = threads.lookup(&task);

	if (!thread || thread->state != RUNNING || thread->since_ns != since_ns)
		return;
	begin_change(thread);
	thread->state = thread->tgid ? BLOCKED : RUNNABLE;
	thread->call = NO_CALL;
	thread->since_ns = since_ns;
	end_change(thread);
}

/* raw tracepoint args: preempt, prev, next. The current task is still prev. */
int states_on_sched_switch(struct bpf_raw_tracepoint_args *ctx)
{
	u32 zero = 0;
	u64 prev = ctx->args[1], next = ctx->args[2];
	struct watch *watch = watched.lookup(&zero);
	struct cpu_time *cpu = cpu_times.lookup(&zero);

	if (!watch || !watch->since_ns || !cpu)
		return 0;
	u64 now_ns = bpf_ktime_get_ns();
	struct thread *leaves = threads.lookup(&prev);
	struct thread *arrives = threads.lookup(&next);

	if (!leaves)
		leaves = new_thread(prev, RUNNING, watch, now_ns);
	if (!arrives)
		arrives = new_thread(next, RUNNABLE, watch, now_ns);
	if (!cpu->since_ns) {
		cpu->since_ns = watch->since_ns;
		cpu->is_idle = leaves && !leaves->tgid;
	}
	if (cpu->task && cpu->task != prev)
		left_unseen(cpu->task, cpu->since_ns);
	if (cpu->is_idle)
		cpu->idle_ns += now_ns - cpu->since_ns;
	else
		cpu->running_ns += now_ns - cpu->since_ns;
	if (leaves)
		leave(prev, leaves, cpu, ctx->args[0] & 1, now_ns);
	cpu->switches += 1;
	cpu->since_ns = now_ns;
	cpu->task = next;
	cpu->is_idle = arrives && !arrives->tgid;
	if (arrives) {
		begin_change(arrives);
		arrive(arrives, cpu, now_ns);
		end_change(arrives);
	}
	return 0;
}
