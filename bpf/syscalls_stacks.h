/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The stacks of traced calls, with STACKS: that of the program when a call that is reported returns, and that of the kernel
 * where the call slept last. Included by syscalls.c.
 */

#define STACK_FRAMES 64
/*
 * Each frame is a struct bpf_stack_build_id (include/uapi/linux/bpf.h): which file by its build id, and where in it. So it
 * can be named though the process is gone when user space sees it. Of memory that belongs to no such file it has the address.
 */
#define STACK_ROOM (STACK_FRAMES * 32)
#define USER_STACK_BY_BUILD_ID (1 << 8 | 1 << 11) /* BPF_F_USER_STACK | BPF_F_USER_BUILD_ID */

#define KERNEL_FRAMES 32
#define NEARLY_NS 100000

struct kernel_stack {
	u64 time_ns; /* when the task fell asleep */
	u64 len; /* bytes */
	u64 ip[KERNEL_FRAMES];
};

/* Where traced calls slept. The loader sets the size. */
BPF_HASH(slept, u64, struct kernel_stack, 1);
BPF_PERCPU_ARRAY(sleeping, struct kernel_stack, 1);

/* The task leaves the CPU in the middle of a traced call, and waits for something. */
INLINE void keep_kernel_stack(void *ctx, u64 task)
{
	u32 zero = 0;
	struct kernel_stack *stack = sleeping.lookup(&zero);

	if (!stack)
		return;
	stack->time_ns = bpf_ktime_get_ns();
	stack->len = at_least_0(bpf_get_stack(ctx, stack->ip, sizeof(stack->ip), 0));
	slept.update(&task, stack);
}

#ifdef VIA_TRACEPOINT
#define IS_PREEMPTED(ctx) (!load_u32(current_task(), OFF_TASK_STATE))
#else
#define IS_PREEMPTED(ctx) (((struct bpf_raw_tracepoint_args *)(ctx))->args[0] & 1)
#endif

/* The task sleeps in a call that it left the CPU in before: where it sleeps last counts, and it may have been preempted. */
INLINE void sleeps_again(void *ctx, u64 task)
{
	struct waiting_call *waits = waiting.lookup(&task);

	if (waits && waits->traced)
		keep_kernel_stack(ctx, task);
}

INLINE void forget_kernel_stack(u64 task)
{
	slept.delete(&task);
}

/* Append both behind the first *len* bytes of the data; return how many bytes there are then. */
INLINE u64 append_stacks(void *ctx, struct scratch *event, u64 task, u64 len)
{
	struct kernel_stack *stack = slept.lookup(&task);
	u64 at = len;

	BOUND(at, HEAD_MASK);
	u64 user = at_least_0(bpf_get_stack(ctx, event->data + at, STACK_ROOM, USER_STACK_BY_BUILD_ID));

	BOUND(user, STACK_MASK);
	if (user > STACK_ROOM)
		user = STACK_ROOM;
	event->user_stack_len = user;
	at += user;
	/* Of an earlier call whose return was missed? When a call entered may be known only by how long it took. */
	if (!stack || stack->time_ns + NEARLY_NS < event->call.time_ns)
		return at;
	u64 kernel = stack->len;

	if (kernel > sizeof(stack->ip))
		kernel = sizeof(stack->ip);
	BOUND(kernel, 511);
	bpf_probe_read_kernel(event->data + at, kernel, stack->ip);
	event->kernel_stack_len = kernel;
	return at + kernel;
}
