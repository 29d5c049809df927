/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a traced call will change, kept from its entry until it returns: memory that it overwrites, descriptors that it
 * closes or connects, the arguments of a program. Included by syscalls.c.
 */

#define KEPT_ROOM 2048 /* bytes of values and names */

/* As the members of struct scratch from `values_len` on. */
struct kept_before {
	u32 values_len;
	u32 names_len;
	u32 unused[2];
	struct files places;
	char data[KEPT_ROOM];
};

/* If it is full, such a call is reported without what was before it. */
BPF_HASH(kept_before, u64, struct kept_before, 1024);

INLINE void keep_before(struct scratch *scratch, u64 task)
{
	if (scratch->values_len > KEPT_ROOM)
		scratch->values_len = 0;
	if (scratch->values_len + scratch->names_len > KEPT_ROOM) {
		scratch->names_len = 0;
		scratch->places.place[0].flags = 0;
		scratch->places.place[1].flags = 0;
	}
	if (kept_before.update(&task, (struct kept_before *)&scratch->values_len))
		kept_before.delete(&task);
}

/* The values come first of those of an event. */
INLINE void append_kept_values(struct scratch *event, u64 task)
{
	struct kept_before *kept = kept_before.lookup(&task);

	if (!kept)
		return;
	u64 len = kept->values_len;

	if (len >= KEPT_ROOM)
		len = KEPT_ROOM - 1;
	BOUND(len, KEPT_ROOM - 1);
	bpf_probe_read_kernel(event->data, len, kept->data);
	event->values_len = len;
}

/* Append the names of its descriptors as they were; return how many bytes these are. */
INLINE u64 append_kept_names(struct scratch *event, u64 task)
{
	struct kept_before *kept = kept_before.lookup(&task);
	u64 at = event->values_len;

	if (!kept) {
		event->places.of[0] = 0;
		event->places.of[1] = 0;
		event->places.place[0].len = 0;
		event->places.place[1].len = 0;
		return 0;
	}
	u64 len = kept->names_len, from = kept->values_len;

	event->places = kept->places;
	BOUND(at, 8191);
	BOUND(from, KEPT_ROOM - 1);
	if (len > KEPT_ROOM - from)
		len = KEPT_ROOM - from;
	BOUND(len, KEPT_ROOM - 1);
	bpf_probe_read_kernel(event->data + at, len, kept->data + from);
	return len;
}

/* A call is no longer of interest. */
INLINE void forget_call(u64 task)
{
	struct traced_call *call = traced.lookup(&task);

	if (!call)
		return;
	u32 slot = call->slot;
	u32 *facts = call_facts.lookup(&slot);

	if (facts && *facts & LOOKED_AT_BEFORE)
		kept_before.delete(&task);
	traced.delete(&task);
}

/* A call that will not return is reported as it was entered. */
INLINE void send_unreturned(void *ctx, u64 task)
{
	struct traced_call *call = traced.lookup(&task);

	if (!call)
		return;
	if (call->returned != KEPT_FOR_CONDITIONS)
		submit(ctx, call, sizeof(*call));
	forget_call(task);
}

/* Go on with a call that enters in a program of its own, which keeps it as *returned* until it returns. */
INLINE void look_before(struct enter_ctx *ctx, u32 returned)
{
	u32 cpu = bpf_get_smp_processor_id();
	struct scratch *scratch = entered_scratch.lookup(&cpu);

	if (!scratch)
		return;
	scratch->call.returned = returned;
	enter_slow_path.call(ctx, ENTER_BEFORE);
}
