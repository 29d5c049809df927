/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How events leave the kernel: through a ring buffer, or through a perf buffer if user space chooses it or the kernel is
 * older than 5.8. Included by probes that report events one by one. src/ebpftop/kernel/event_buffer.py sets the sizes
 * and reads.
 */
#ifndef EBPFTOP_EVENTS_H
#define EBPFTOP_EVENTS_H

#include "ebpftop.h"

enum event_parameter {
	PARAMETER_USE_RING = 100, /* 0: the perf buffer */
};

#ifdef HAVE_RING
BPF_RINGBUF_OUTPUT(ring_events, 1);
#endif
BPF_PERF_OUTPUT(perf_events);

/* Waking the reader costs more than the event (a 128 ns call became 22,000 ns), so the reader polls on a timer. */
INLINE long hand_over(void *ctx, void *event, u64 size)
{
#ifdef HAVE_RING
	if (PARAMETER(USE_RING))
		return ring_events.ringbuf_output(event, size, BPF_RB_NO_WAKEUP);
#endif
	return perf_events.perf_submit(ctx, event, size);
}

INLINE void submit(void *ctx, void *event, u64 size)
{
	if (hand_over(ctx, event, size))
		count_lost(LOST_RING);
}

#endif
