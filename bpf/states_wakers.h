/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who wakes a thread: the current task, or what interrupted it. Included by states.c.
 */

/* include/linux/preempt.h: interrupts are counted above softirqs, where exactly differs between versions; the topmost
 * bit is another flag. */
#define IN_SOFTIRQ 0x100
#define IN_IRQ_OR_NMI 0x7fff0000

#if defined(PREEMPT_COUNT_ID)
/*
 * A variable that each CPU has its own of. Its BTF type id stands where its address goes, as the verifier wants it
 * (src/ebpftop/kernel/compiled.py completes that). bpf_this_cpu_ptr (5.10) by number: BCC's older versions do not name it.
 */
INLINE u32 preempt_count(void)
{
	void *variable;

	asm("%0 = %1 ll" : "=r"(variable) : "i"(PERCPU_MARK | PREEMPT_COUNT_ID));
	char *here = ((char *(*)(void *))154)(variable);

	return *(u32 *)(here + OFF_PREEMPT_COUNT);
}
#elif defined(OFF_TASK_PREEMPT_COUNT)
INLINE u32 preempt_count(void)
{
	return load_u32(current_task(), OFF_TASK_PREEMPT_COUNT);
}
#endif

INLINE u32 current_waker(void)
{
#if defined(PREEMPT_COUNT_ID) || defined(OFF_TASK_PREEMPT_COUNT)
	u32 count = preempt_count();

	if (count & IN_IRQ_OR_NMI)
		return WAKER_IRQ;
	if (count & IN_SOFTIRQ)
		return WAKER_SOFTIRQ;
#endif
	u32 pid = bpf_get_current_pid_tgid() >> 32;

	return pid ?: WAKER_INTERRUPT; /* the idle thread wakes nobody by itself */
}

/* Wakers that come often stay: each new one takes the place of the one that was counted least. */
INLINE void count_waker(struct thread *thread, u32 pid)
{
	u32 least = 0;
	u64 least_count = -1;

#pragma unroll
	for (u32 i = 0; i < WAKERS; i++) {
		struct waker *waker = &thread->wakers[i];

		if (waker->count && waker->pid == pid) {
			waker->count += 1;
			return;
		}
		if (waker->count < least_count) {
			least_count = waker->count;
			least = i;
		}
	}
	BOUND(least, WAKERS - 1);
	thread->wakers[least].pid = pid;
	thread->wakers[least].count = 1;
}
