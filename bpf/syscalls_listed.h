/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Lists in the memory of a traced call that has returned: what the descriptors in them are, and how many entries of a
 * directory there are. Programs that sys_exit reaches by tail calls. Included by syscalls.c.
 */

#define LISTED_MOST 12 /* descriptors of a call whose files are looked up */
#define LISTED_STEPS 48 /* of the search for the next one */
#define ENTRIES_PER_RUN 512
#define ENTRIES_MOST 4096
#define RECLEN_AT 16 /* d_reclen, behind d_ino and d_off */
#define SOL_SOCKET 1 /* include/linux/socket.h */
#define SCM_RIGHTS 1
#define CMSG_LEN 16 /* sizeof(struct cmsghdr) */

INLINE u32 error_of(s64 ret)
{
	return ret < 0 && ret >= -4095 ? -ret : 0;
}

/* What a program hands to the one that it reaches by a tail call. `met`: the conditions that hold, as bits; in memory, so
 * that the verifier does not know it, and does not follow each set of them. */
struct returned_call {
	u64 delta_ns; /* 0: its entry was not seen */
	u32 slot;
	u32 met;
	u32 value; /* which one of its value_plans is next */
	u32 entries; /* of a directory */
	u64 entry_at; /* where the next one is, in bytes from the first */
	u32 listed; /* descriptors of lists that were looked up */
	u32 list_at; /* the piece in which the next one is */
	u32 list_end; /* the first piece that is none of a list */
	u32 list_within; /* where it is in that piece: a byte, or a bit */
	s64 listed_fd; /* what was found */
};

BPF_PERCPU_ARRAY(returned_call, struct returned_call, 1);

/* Which bit is the lowest one that is set; without a branch. */
INLINE u64 lowest_bit(u64 bits)
{
	u64 bit = bits & -bits;

	return is_zero(bit & 0x5555555555555555) | is_zero(bit & 0x3333333333333333) << 1 |
	       is_zero(bit & 0x0f0f0f0f0f0f0f0f) << 2 | is_zero(bit & 0x00ff00ff00ff00ff) << 3 |
	       is_zero(bit & 0x0000ffff0000ffff) << 4 | is_zero(bit & 0x00000000ffffffff) << 5;
}

/*
 * Look for the next descriptor in the values: `listed_fd`, -1 if it is not there. As in go_up(), there is no branch, and what
 * a step leaves for the next is in memory.
 */
INLINE void find_listed(struct scratch *event, struct returned_call *returned)
{
	u64 at = returned->list_at, within = returned->list_within;

	BOUND(at, 8191);
	const struct value_head *head = (const struct value_head *)(event->data + at);
	const char *data = event->data + at + sizeof(*head);
	u64 len = head->len, lists = head->lists;
	u64 is_bits = is_zero(lists ^ LISTS_BITS), is_control = is_zero(lists ^ LISTS_CONTROL);
	u64 end = choose(is_bits, len * 8, choose(is_zero(lists), 0, len & ~3));
	/* struct cmsghdr: cmsg_len in a word, cmsg_level, cmsg_type */
	u64 control_len = *(const u32 *)data;
	u64 has_rights = is_zero((*(const u32 *)(data + 8) ^ SOL_SOCKET) | (*(const u32 *)(data + 12) ^ SCM_RIGHTS));

	end = choose(is_control & is_more(end, control_len), control_len, end);
	within = choose(is_control & is_zero(within), choose(has_rights, CMSG_LEN, end), within);
	u64 is_over = is_more(within + 1, end);

	BOUND(within, 4095);
	u64 bits = *(const u64 *)(data + within / 64 * 8) >> (within & 63);
	u64 has_none = is_bits & is_zero(bits), bit = within + lowest_bit(bits);
	s64 number = *(const s32 *)(data + (within & ~3));
	u64 next = within + 4 + 4 * is_zero(lists ^ LISTS_POLLS);

	returned->listed_fd = choose(is_over | has_none, -1, choose(is_bits, bit, number));
	next = choose(is_bits, choose(has_none, (within | 63) + 1, bit + 1), next);
	returned->list_within = choose(is_over, 0, next);
	returned->list_at = at + choose(is_over, sizeof(*head) + ((len + 7) & ~7), 0);
}

/* Append what one descriptor of a list is: struct place, struct socket_ends, names. */
INLINE void append_listed(struct scratch *event, char *task, s32 fd, u32 part)
{
	struct {
		struct value_head head;
		struct place place;
		struct socket_ends socket;
	} *piece;
	u64 at = event->values_len;

	if (at > VALUES_ROOM - sizeof(*piece))
		return;
	set_fd(event, 0, task, 1, fd, false);
	start_walk(event, task, at + sizeof(*piece), 0);
#pragma nounroll
	for (int step = 0; step < FILE_STEPS;) {
		if (event->walk.place)
			break;
		go_up(event, &event->places.place[0], &event->paths[0], 0);
		step++;
		LOOP_END();
	}
	struct place *place = &event->places.place[0];

	if (!event->walk.place && place->flags & PLACE_KNOWN)
		place->flags |= PLACE_CUT;
	if (place->flags & PLACE_NAMELESS)
		fill_nameless(place, event->paths[0].dentry);
	BOUND(at, 8191);
	piece = (void *)(event->data + at);
	u64 len = sizeof(piece->place) + sizeof(piece->socket) + place->len;

	piece->head = (struct value_head){.arg = PIECE_LISTED, .part = part, .len = len, .whole = (u32)fd};
	piece->place = *place;
	piece->socket = event->places.socket[0];
	event->values_len = at + sizeof(piece->head) + ((len + 7) & ~7);
}

/* What the descriptor is that was found in the values; then the next one, or the descriptors that are arguments. */
int sys_exit_listed(struct exit_ctx *ctx)
{
	u32 zero = 0;
	struct caller caller = CURRENT_CALLER(ctx);
	struct returned_call *returned = returned_call.lookup(&zero);
	u32 cpu = bpf_get_smp_processor_id();
	struct scratch *event = traced_scratch.lookup(&cpu);

	if (!caller.task || !returned || !event)
		return 0;
	/* The verifier would follow the walk for each way to find one, so the search comes last. */
	if (returned->listed_fd >= 0) {
		append_listed(event, caller.task, returned->listed_fd, returned->listed);
		returned->listed += 1;
	}
	returned->listed_fd = -1;
#pragma nounroll
	for (int i = 0; i < LISTED_STEPS;) {
		if (returned->list_at >= returned->list_end)
			break;
		find_listed(event, returned);
		if (returned->listed_fd >= 0)
			break;
		i++;
		LOOP_END();
	}
	exit_slow_paths.call(ctx, returned->listed < LISTED_MOST && returned->listed_fd >= 0 ? SLOW_PATH_LISTED
											     : SLOW_PATH_FILES);
	return 0;
}

/* How many entries getdents returned; then the memory of the next argument. */
int sys_exit_entries(struct exit_ctx *ctx)
{
	u32 zero = 0;
	struct returned_call *returned = returned_call.lookup(&zero);
	u32 cpu = bpf_get_smp_processor_id();
	struct scratch *event = traced_scratch.lookup(&cpu);

	if (!returned || !event)
		return 0;
	u32 slot = event->call.slot;
	u64 value = returned->value;
	struct value_plans *plans = call_values.lookup(&slot);

	if (!plans || value >= VALUES)
		return 0;
	const struct value_plan *plan = &plans->plan[value];
	u64 from = argument_of(&event->call, plan->arg), at = event->values_len;
	s64 size = event->call.ret;
	u32 readable = 1;

	if (error_of(size)) {
		returned->value = value + 1;
		exit_slow_paths.call(ctx, SLOW_PATH_VALUE);
		return 0;
	}
#pragma nounroll
	for (int i = 0; i < ENTRIES_PER_RUN;) {
		u64 entry = returned->entry_at;
		u16 len = 0;

		if (entry >= size)
			break;
		if (read_user(&len, sizeof(len), (void *)(from + entry + RECLEN_AT)) || !len) {
			readable = 0;
			break;
		}
		returned->entry_at = entry + len;
		returned->entries += 1;
		i++;
		LOOP_END();
	}
	if (readable && returned->entry_at < size && returned->entries < ENTRIES_MOST) {
		exit_slow_paths.call(ctx, SLOW_PATH_ENTRIES);
		return 0;
	}
	returned->value = value + 1;
	if (at <= VALUES_ROOM - sizeof(struct value_head) - sizeof(struct array_end)) {
		BOUND(at, VALUES_ROOM - 1);
		struct value_head *head = (struct value_head *)(event->data + at);
		struct array_end *end = (struct array_end *)(event->data + at + sizeof(*head));

		*head = (struct value_head){.arg = piece_of(plan), .len = sizeof(*end), .whole = sizeof(*end)};
		*end = (struct array_end){.count = returned->entries};
		if (returned->entry_at < size)
			end->flags = readable ? ARRAY_GOES_ON : ARRAY_UNREADABLE;
		event->values_len = at + sizeof(*head) + sizeof(*end);
	}
	exit_slow_paths.call(ctx, SLOW_PATH_VALUE);
	return 0;
}
