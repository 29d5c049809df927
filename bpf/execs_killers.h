/* SPDX-License-Identifier: GPL-2.0-only */
/* Who sent the signal that a process died of. Included by execs_ended.h. */

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
