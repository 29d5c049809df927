/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The memory behind the arguments of a traced call, read when it has returned: what user space says for each call
 * (src/ebpftop/syscalls/memory.py). Included by syscalls.c.
 */

#include "syscalls_files.h"

#define STACK_MASK 4095 /* both stacks of a call are shorter */
#define VALUES 4 /* of a call */
#define VALUES_ROOM 2048
#define VALUE_MOST 512 /* bytes of one */
#define IOVECS 4 /* of which memory is read */

enum value_size {
	VALUE_NONE,
	VALUE_FIXED,  /* `most` bytes */
	VALUE_BY_ARG,  /* as many units as argument `of` says */
	VALUE_BY_RESULT, /* as many units as the call returned */
	VALUE_BY_MEMORY, /* as many bytes as the u32 says to which argument `of` points */
	VALUE_IOVECS,  /* argument `of` structs iovec, and the memory of the first ones */
	VALUE_MSGHDR,  /* struct msghdr, and the memory that it names */
};

enum value_flag {
	VALUE_FILLED = 1, /* only of a call that did not fail, which filled it: of iovecs, no more than it returned */
	VALUE_OF_32_BIT = 2, /* pointers and sizes are 32 bits wide */
};

struct value_plan {
	u8 arg;
	u8 size; /* enum value_size */
	u8 of;
	u8 flags;
	u16 unit;
	u16 most;
};

struct value_plans {
	struct value_plan plan[VALUES];
	/* Arguments that are file descriptors, number + 1, FILE_IS_DIR with it if AT_FDCWD means the current directory; and
	 * whether the call returns one. */
	u8 fd[2];
	u8 returns_fd;
	u8 unused[5];
};

BPF_ARRAY(call_values, struct value_plans, SLOTS);

/* In front of each piece of memory. A piece of 8 * n bytes follows. */
struct value_head {
	u8 arg;
	u8 part; /* 0: what the argument points to; 1 ..: what that points to, in order */
	u16 len; /* bytes that were read; 0: they could not be */
	u32 unused;
	u64 whole; /* bytes that there are */
};

/* What is put together of a traced call, and sent up to the end of its names. */
struct scratch {
	struct traced_call call;
	u32 values_len;
	u32 names_len;
	u32 user_stack_len;
	u32 kernel_stack_len;
	struct files places;
	char data[HEAD_MASK + 1 + STACK_MASK + 1 + 512]; /* values, names, stacks */
	struct walk walk;
	struct path paths[FILES_MASK + 1];
};

/* Append at most *most* bytes of the *whole* bytes at *from*. */
INLINE void append_value(struct scratch *event, u32 arg, u32 part, u64 from, u64 whole, u64 most)
{
	u64 at = event->values_len;
	u64 len = whole < most ? whole : most;

	if (at > VALUES_ROOM - sizeof(struct value_head))
		return;
	BOUND(at, VALUES_ROOM - 1);
	struct value_head *head = (struct value_head *)(event->data + at);

	if (len >= VALUE_MOST)
		len = VALUE_MOST - 1;
	BOUND(len, VALUE_MOST - 1);
	head->arg = arg;
	head->part = part;
	head->unused = 0;
	head->whole = whole;
	head->len = from && len && !read_user(event->data + at + sizeof(*head), len, (void *)from) ? len : 0;
	event->values_len = at + sizeof(*head) + ((len + 7) & ~7);
}

INLINE u64 user_word(u64 at, u32 narrow)
{
	u64 word = 0;

	read_user(&word, narrow ? 4 : 8, (void *)at);
	return word;
}

/* The first *count* iovecs at *from*, and of each the beginning of what it names. *left*: bytes that the call filled. */
INLINE void append_iovecs(struct scratch *event, const struct value_plan *plan, u32 part, u64 from, u64 count, u64 left)
{
	u32 narrow = plan->flags & VALUE_OF_32_BIT;
	u32 wide = narrow ? 4 : 8;

	append_value(event, plan->arg, part, from, count * 2 * wide, IOVECS * 16);
#pragma unroll
	for (int i = 0; i < IOVECS; i++) {
		u64 at = from + i * 2 * wide;

		if (i >= count || !left)
			break;
		u64 size = user_word(at + wide, narrow);
		u64 filled = size < left ? size : left;

		append_value(event, plan->arg, part + 1 + i, user_word(at, narrow), filled, plan->most);
		left -= filled;
	}
}

INLINE void append_msghdr(struct scratch *event, const struct value_plan *plan, u64 from, u64 left)
{
	u32 narrow = plan->flags & VALUE_OF_32_BIT;
	u32 wide = narrow ? 4 : 8;

	/* msg_name, msg_namelen, msg_iov, msg_iovlen, msg_control, msg_controllen, msg_flags: each in a word */
	append_value(event, plan->arg, 0, from, 7 * wide, VALUE_MOST);
	append_value(event, plan->arg, 1, user_word(from, narrow), (u32)user_word(from + wide, 1), 128);
	append_value(event, plan->arg, 2, user_word(from + 4 * wide, narrow), user_word(from + 5 * wide, narrow), 128);
	append_iovecs(event, plan, 3, user_word(from + 2 * wide, narrow), user_word(from + 3 * wide, narrow), left);
}

/* Append what *plan* says of a call that has returned. */
INLINE void append_planned(struct scratch *event, const struct value_plan *plan)
{
	u64 arg = plan->arg, of = plan->of;
	s64 ret = event->call.ret;
	u32 failed = ret < 0 && ret >= -4095;

	if (failed && plan->flags & VALUE_FILLED)
		return;
	BOUND(arg, 7);
	BOUND(of, 7);
	if (arg >= ARGS || of >= ARGS)
		return;
	u64 from = event->call.args[arg], count = event->call.args[of];
	u64 left = plan->flags & VALUE_FILLED ? ret : -1;

	if (!from)
		return;
	if (plan->size == VALUE_FIXED)
		append_value(event, arg, 0, from, plan->most, plan->most);
	else if (plan->size == VALUE_BY_ARG)
		append_value(event, arg, 0, from, count * plan->unit, plan->most);
	else if (plan->size == VALUE_BY_RESULT)
		append_value(event, arg, 0, from, failed ? 0 : ret * plan->unit, plan->most);
	else if (plan->size == VALUE_BY_MEMORY)
		append_value(event, arg, 0, from, (u32)user_word(count, 1), plan->most);
	else if (plan->size == VALUE_IOVECS)
		append_iovecs(event, plan, 0, from, count, left);
	else if (plan->size == VALUE_MSGHDR)
		append_msghdr(event, plan, from, left);
}
