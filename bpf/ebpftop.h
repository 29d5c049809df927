/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What all of ebpftop's programs share.
 *
 * Compiled by BCC without kernel headers: OFF_* are member offsets that user space read from the running kernel's BTF
 * (src/ebpftop/kernel/offsets.py lists them), so one source fits every kernel from 5.10 on.
 */
#ifndef EBPFTOP_H
#define EBPFTOP_H

#define INLINE static inline __attribute__((always_inline))
#define COMM_LEN 16
#ifndef EFAULT
#define EFAULT 14 /* include/uapi/asm-generic/errno-base.h */
#endif

/* clang may widen or move a bounds check; this makes the verifier see the bound right where it is needed. */
#define BOUND(n, mask) asm volatile("%0 &= %1" : "+r"(n) : "i"(mask))

/*
 * Older kernels (5.10) take a loop only if it comes back by a jump; where the compiler lets the end of one run into its
 * beginning, they refuse a "back-edge" (kernel/bpf/verifier.c, check_cfg()). This is such a jump, to the next instruction.
 */
#define LOOP_END() asm volatile("goto +0")

/*
 * A parameter is a number that user space chooses when it loads a program: whether a part of it runs, a rate, a size.
 * It stands in the instructions, so the verifier knows it as a constant: code that it excludes is removed, and costs
 * nothing at run time. Another choice needs no other compilation. Each is declared as `PARAMETER_<name> = <number>`, 1
 * to 99 in the file of a probe; src/ebpftop/kernel/compiler.py finds the declarations, the loader the instructions.
 */
#define PARAMETER_MARK 0x0ebf709000000000
#define PARAMETER(name)                                                                    \
	({                                                                                 \
		u64 chosen;                                                                \
		asm("%0 = %1 ll" : "=r"(chosen) : "i"(PARAMETER_MARK | PARAMETER_##name)); \
		chosen;                                                                    \
	})

/* The address of a variable that every CPU has its own of, by its BTF type id: src/ebpftop/kernel/compiled.py. */
#define PERCPU_MARK 0x0ebf709100000000

/* BCC's own macros name the program after the function; with this extra step the function's name may be a macro. */
#define FENTRY(function, ...) KFUNC_PROBE(function, ##__VA_ARGS__)
#define FEXIT(function, ...) KRETFUNC_PROBE(function, ##__VA_ARGS__)

INLINE u32 read_u32(const void *base, u64 offset)
{
	u32 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), (const char *)base + offset);
	return value;
}

INLINE void *read_pointer(const void *base, u64 offset)
{
	void *value = NULL;

	bpf_probe_read_kernel(&value, sizeof(value), (const char *)base + offset);
	return value;
}

INLINE u64 read_u64(const void *base, u64 offset)
{
	return (u64)read_pointer(base, offset);
}

/*
 * The current task, and what its pointers lead to. The verifier knows the types behind bpf_get_current_task_btf (5.11;
 * BCC's older versions do not name it), so memory is loaded by an instruction. A helper that reads it costs twenty times
 * as much. A pointer that no longer leads anywhere loads 0.
 */
#ifdef HAVE_TASK_BTF
INLINE char *trusted_current_task(void)
{
	return ((char *(*)(void))158)();
}

#ifdef HAVE_RDONLY_CAST
/* A call of the kernel's function with this BTF type id (a kfunc): src/ebpftop/kernel/compiled.py completes it. */
#define KFUNC_MARK 0x40000000

/*
 * The same pointer, as one that the verifier does not trust. For each pointer that is loaded from a trusted one it
 * searches all names of the kernel's BTF, up to three times, whether that one can be trusted too (type_is_trusted() and
 * others in kernel/bpf/verifier.c, since 6.3): 0.1 s for our programs. They only load, and need no trust. The call
 * itself, of bpf_rdonly_cast, becomes a move.
 */
INLINE char *current_task(void)
{
	return ((char *(*)(char *, u64))(KFUNC_MARK | RDONLY_CAST_ID))(trusted_current_task(), TASK_STRUCT_ID);
}
#else
INLINE char *current_task(void)
{
	return trusted_current_task();
}
#endif

#define LOAD(type, base, offset) (*(type *)((char *)(base) + (offset)))
#else
INLINE char *current_task(void)
{
	return (char *)bpf_get_current_task();
}

#define LOAD(type, base, offset)                                                                 \
	({                                                                                       \
		type loaded = 0;                                                                 \
		bpf_probe_read_kernel(&loaded, sizeof(loaded), (const char *)(base) + (offset)); \
		loaded;                                                                          \
	})
#endif

INLINE u32 load_u32(const void *base, u64 offset)
{
	return LOAD(u32, base, offset);
}

INLINE u64 load_u64(const void *base, u64 offset)
{
	return LOAD(u64, base, offset);
}

INLINE char *load_pointer(const void *base, u64 offset)
{
	return LOAD(char *, base, offset);
}

/* A number of the credentials of *task*. The check is for the verifier: some kernels mark their pointer (__rcu). */
INLINE u32 load_cred(const void *task, u64 offset)
{
	char *cred = load_pointer(task, OFF_TASK_CRED);

	return cred ? load_u32(cred, offset) : 0;
}

/* The name of *task*: the current task, or one that its pointers lead to. */
INLINE void load_comm(char *to, const void *task)
{
	((u64 *)to)[0] = load_u64(task, OFF_TASK_COMM);
	((u64 *)to)[1] = load_u64(task, OFF_TASK_COMM + 8);
}

/*
 * The node of the cgroup of *task*, the current one. If the unified hierarchy is not in use (it is in the root), the cgroup
 * is that of the pids controller (*v1*), which container engines on cgroup v1 set.
 */
INLINE char *cgroup_node(char *task, u32 *v1)
{
	char *css_set = load_pointer(task, OFF_TASK_CGROUPS);
	char *node = load_pointer(load_pointer(css_set, OFF_CSS_SET_DFL_CGRP), OFF_CGROUP_KN);

	*v1 = 0;
#ifdef CSS_PIDS_ID
	if (!load_pointer(node, OFF_KERNFS_PARENT)) {
		char *css = load_pointer(css_set, OFF_CSS_SET_SUBSYS + 8 * CSS_PIDS_ID);

		*v1 = 1;
		node = load_pointer(load_pointer(css, OFF_CSS_CGROUP), OFF_CGROUP_KN);
	}
#endif
	return node;
}

/*
 * bpf_probe_read_user and bpf_probe_read_user_str by number. If they are called by name, BCC looks in kallsyms whether
 * this kernel has them, and reads all 170,000 symbols, 0.4 s. They exist since 5.5.
 */
INLINE long read_user(void *to, u32 size, const void *from)
{
	return ((long (*)(void *, u32, const void *))BPF_FUNC_probe_read_user)(to, size, from);
}

/*
 * Without a branch, and hidden from clang, which would make a branch of it: the verifier follows both sides of each
 * branch in every round of a loop.
 */
INLINE long at_least_0(long n)
{
	long sign = n >> 63;

	asm volatile("" : "+r"(sign));
	return n & ~sign;
}

/* Up to 6.12 at least, an empty string counts as 0 bytes, where every other has its NUL counted (mm/maccess.c). */
INLINE long read_user_string(void *to, u32 size, const void *from)
{
	long len = ((long (*)(void *, u32, const void *))BPF_FUNC_probe_read_user_str)(to, size, from);
	u64 bits = len | -len; /* the topmost bit is set unless len is 0 */

	asm volatile("" : "+r"(bits)); /* as above */
	return len + 1 - (bits >> 63);
}

/*
 * Programs at fentry and fexit (from 5.11 on), and from 7.3 on those at sys_enter and sys_exit, may be preempted:
 * another task then runs programs on their CPU. The kernel skips only the program that is already running there. So
 * per-CPU data that a single program writes is consistent. Data that several programs write is not, unless it is
 * claimed first or written by an atomic instruction. A program that another one reaches by a tail call counts as the
 * same program.
 */

/* Losses, counted where they happen. */
enum lost_where { LOST_RING, LOST_MAP, LOST_ARGV, LOST_EXITS, LOST_BUSY, LOST_RATE, LOST_KINDS };

BPF_PERCPU_ARRAY(lost, u64, LOST_KINDS);

INLINE void count_lost(u32 where)
{
	u64 *count = lost.lookup(&where);

	if (count)
		__sync_fetch_and_add(count, 1);
}

#include "filter.h"

#endif
