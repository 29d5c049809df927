/* SPDX-License-Identifier: GPL-2.0-only */
/* The slot of each call in the table, and in every array of calls. Included by syscalls.c. */

#define NO_SLOT 0xffffffff   /* a number that the table has no slot for */
#define SKIPPED 0xfffffffe   /* a call that the filter does not match, or that is ignored */

/* Where the calls of an ABI lie in the table: its native one first. x32 borrows most numbers of x86-64 and has its own
 * from 512 on. */
#define SLOTS 1600
#define NATIVE_SLOTS 512
#define COMPAT_BASE 512
#define COMPAT_SLOTS 512
#define X32_BASE 1024
#define X32_SLOTS 576

INLINE u32 slot_of(u64 nr, bool compat)
{
	if (compat)
		return nr < COMPAT_SLOTS ? COMPAT_BASE + nr : NO_SLOT;
	if (nr < NATIVE_SLOTS)
		return nr;
#ifdef HAVE_X32
	if (nr & X32_BIT && (nr & ~X32_BIT) < X32_SLOTS)
		return X32_BASE + (nr & ~X32_BIT);
#endif
	return NO_SLOT;
}
