/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The memory behind the arguments of a traced call, read when it has returned, or when it enters if the call changes it:
 * what user space says for each call (src/ebpftop/syscalls/memory.py). Included by syscalls.c.
 */

#include "syscalls_files.h"

#define STACK_MASK 4095 /* both stacks of a call are shorter */
#define VALUES 10 /* of a call */
#define VALUES_ROOM 4096
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
	VALUE_IOVEC,  /* one struct iovec, and the memory that it names */
	VALUE_BY_BITS, /* a bit for each one that argument `of` counts */
	VALUE_ENTRIES, /* how many entries of a directory there are in as many bytes as the call returned */
	VALUE_STRINGS, /* the strings of an array of pointers that ends with NULL; only BEFORE */
	VALUE_POINTERS, /* how many pointers there are before NULL; only BEFORE */
	VALUE_ON_STACK, /* `most` bytes, `unit` words above the stack pointer; only BEFORE */
};

enum value_flag {
	VALUE_FILLED = 1, /* only of a call that did not fail, which filled it: of iovecs, no more than it returned */
	VALUE_OF_32_BIT = 2, /* pointers and sizes are 32 bits wide */
	VALUE_BEFORE = 4, /* read when the call enters */
};

/* How descriptors stand in a piece of memory. */
enum value_lists { LISTS_NONE, LISTS_INTS, LISTS_POLLS, LISTS_BITS, LISTS_CONTROL };

struct value_plan {
	u8 arg;
	u8 size; /* enum value_size */
	u8 of;
	u8 flags;
	u8 lists; /* enum value_lists */
	u8 unit;
	u16 most;
};

struct value_plans {
	struct value_plan plan[VALUES];
	/* Arguments that are file descriptors, number + 1, FILE_IS_DIR with it if AT_FDCWD means the current directory; and
	 * whether the call returns one. */
	u8 fd[2];
	u8 returns_fd;
	u8 files_before; /* whether the descriptors are other ones when it returns */
	u8 has_lists; /* of descriptors */
	u8 unused[3];
};

BPF_ARRAY(call_values, struct value_plans, SLOTS);

/* What is known of an array whose end is searched: of pointers, or of entries of a directory. */
struct array_end {
	u32 count;
	u32 flags; /* enum array_flag */
};

enum array_flag { ARRAY_GOES_ON = 1, ARRAY_UNREADABLE = 2 };

/* In front of each piece of memory. A piece of 8 * n bytes follows. */
struct value_head {
	u8 arg; /* with PIECE_BEFORE if it was read when the call entered; or PIECE_LISTED */
	u8 part; /* 0: what the argument points to; 1 ..: what that points to, in order */
	u16 len; /* bytes that were read; 0: they could not be */
	u32 lists; /* enum value_lists */
	u64 whole; /* bytes that there are */
};

#define PIECE_BEFORE 8
#define PIECE_LISTED 255 /* what a descriptor is: syscalls_listed.h */

/* What is put together of a traced call, and sent up to the end of its names. */
struct scratch {
	struct traced_call call;
	u32 values_len;
	u32 names_len;
	u32 user_stack_len;
	u32 kernel_stack_len; /* as struct kept_before from `values_len` on */
	struct files places;
	char data[HEAD_MASK + 1 + STACK_MASK + 1 + 512]; /* values, names, stacks */
	struct walk walk;
	struct path paths[FILES_MASK + 1];
	u32 next_value; /* of its value_plans, when it enters */
	u16 goes_on; /* with an array whose end was not reached */
	u16 was_kept; /* when it entered */
};

/* Append at most *most* bytes of the *whole* bytes at *from*, which list descriptors in the manner of *lists*. */
INLINE void append_list(struct scratch *event, u32 arg, u32 part, u64 from, u64 whole, u64 most, u32 lists)
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
	head->lists = lists;
	head->whole = whole;
	if (!from || !len || read_user(event->data + at + sizeof(*head), len, (void *)from))
		len = 0;
	head->len = len;
	event->values_len = at + sizeof(*head) + ((len + 7) & ~7);
}

INLINE void append_value(struct scratch *event, u32 arg, u32 part, u64 from, u64 whole, u64 most)
{
	append_list(event, arg, part, from, whole, most, LISTS_NONE);
}

INLINE u64 user_word(u64 at, u32 narrow)
{
	u64 word = 0;

	read_user(&word, narrow ? 4 : 8, (void *)at);
	return word;
}

/* The argument, as a piece of it has it. */
INLINE u32 piece_of(const struct value_plan *plan)
{
	return plan->arg | (plan->flags & VALUE_BEFORE ? PIECE_BEFORE : 0);
}

/* The first *count* iovecs at *from*, and of each the beginning of what it names. *left*: bytes that the call filled. */
INLINE void append_iovecs(struct scratch *event, const struct value_plan *plan, u32 part, u64 from, u64 count, u64 left)
{
	u32 arg = piece_of(plan);
	u32 narrow = plan->flags & VALUE_OF_32_BIT;
	u32 wide = narrow ? 4 : 8;

	append_value(event, arg, part, from, count * 2 * wide, IOVECS * 16);
#pragma unroll
	for (int i = 0; i < IOVECS; i++) {
		u64 at = from + i * 2 * wide;

		if (i >= count || !left)
			break;
		u64 size = user_word(at + wide, narrow);
		u64 filled = size < left ? size : left;

		append_value(event, arg, part + 1 + i, user_word(at, narrow), filled, plan->most);
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
	append_list(event, plan->arg, 2, user_word(from + 4 * wide, narrow), user_word(from + 5 * wide, narrow), 128,
		    narrow ? LISTS_NONE : LISTS_CONTROL);
	append_iovecs(event, plan, 3, user_word(from + 2 * wide, narrow), user_word(from + 3 * wide, narrow), left);
}

/* Append what *plan* says of a call that has returned, or that enters. */
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
	u32 piece = piece_of(plan);

	if (!from)
		return;
	if (plan->size == VALUE_FIXED)
		append_list(event, piece, 0, from, plan->most, plan->most, plan->lists);
	else if (plan->size == VALUE_BY_ARG)
		append_list(event, piece, 0, from, count * plan->unit, plan->most, plan->lists);
	else if (plan->size == VALUE_BY_BITS)
		append_list(event, piece, 0, from, ((u64)(u32)count + 63) / 64 * 8, plan->most, plan->lists);
	else if (plan->size == VALUE_BY_RESULT)
		append_value(event, arg, 0, from, failed ? 0 : ret * plan->unit, plan->most);
	else if (plan->size == VALUE_BY_MEMORY)
		append_value(event, arg, 0, from, (u32)user_word(count, 1), plan->most);
	else if (plan->size == VALUE_IOVECS)
		append_iovecs(event, plan, 0, from, count, left);
	else if (plan->size == VALUE_IOVEC)
		append_iovecs(event, plan, 0, from, 1, -1);
	else if (plan->size == VALUE_MSGHDR)
		append_msghdr(event, plan, from, left);
}
