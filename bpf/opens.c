/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every file that a program opens or fails to: open, openat, openat2 and creat, with path, flags, result and latency.
 *
 * An open is noted when it enters, by the address of its task, and is reported when it returns. The path is read at
 * entry, where its page may not be resident; what could not be read then is read at the return: by then the kernel has
 * read it itself.
 */
#include "ebpftop.h"
#include "budget.h"
#include "compat.h"
#include "events.h"

enum parameter {
	PARAMETER_OPENS_PER_SECOND = 1, /* opens that are reported, on each CPU */
};

#define PATH_LEN 512  /* with the NUL; one more byte is read, to see whether the path was cut */
#define PATH_ROOM 520

#define CREAT_FLAGS 01101 /* O_CREAT | O_WRONLY | O_TRUNC: creat(2), include/uapi/asm-generic/fcntl.h */
#define AT_FDCWD -100
#define ENOSYS 38

enum open_call { CALL_NONE, CALL_OPEN, CALL_OPENAT, CALL_OPENAT2, CALL_CREAT };

struct open {
	u64 time_ns;
	u64 duration_ns;
	s64 ret;
	u64 flags;
	u64 path_at; /* where the path lies in the memory of the program; of openat2, the flags lie at `how_at` */
	u64 how_at;
	s32 dirfd;
	u32 pid;
	u32 tid;
	u32 uid;
	u32 call;     /* enum open_call */
	u32 path_len; /* with the NUL; 0: not read */
	char comm[COMM_LEN];
	char path[PATH_ROOM];
};

/*
 * Opens in progress, by task. An open is too large for the stack: `blank` is copied into the map, and filled there. So
 * no other program can write into it, even if this one is preempted.
 */
BPF_HASH(opens, u64, struct open, 1); /* the loader sets the size */
BPF_ARRAY(blank, struct open, 1);

/* x32's numbers are those of x86-64 with a bit set; arm64 has only the two newer calls. */
INLINE enum open_call native_call(u32 nr)
{
#ifdef HAVE_X32
	nr &= ~X32_BIT;
#endif
	switch (nr) {
	case NR_OPENAT:
		return CALL_OPENAT;
	case NR_OPENAT2:
		return CALL_OPENAT2;
#ifdef NR_OPEN
	case NR_OPEN:
		return CALL_OPEN;
	case NR_CREAT:
		return CALL_CREAT;
#endif
	}
	return CALL_NONE;
}

INLINE enum open_call compat_call(u32 nr)
{
	switch (nr) {
	case NR_COMPAT_OPENAT:
		return CALL_OPENAT;
	case NR_COMPAT_OPENAT2:
		return CALL_OPENAT2;
	case NR_COMPAT_OPEN:
		return CALL_OPEN;
	case NR_COMPAT_CREAT:
		return CALL_CREAT;
	}
	return CALL_NONE;
}

/* Runs at every call of the machine if it is attached at sys_enter and sys_exit, so the number alone comes first. */
INLINE bool may_be_open(u32 nr)
{
	return native_call(nr) || compat_call(nr);
}

INLINE enum open_call open_call(u32 nr)
{
	return in_compat_call() ? compat_call(nr) : native_call(nr);
}

INLINE void read_path(struct open *open)
{
	if (open->path_len)
		return;
	long len = read_user_string(open->path, PATH_LEN + 1, (void *)open->path_at);

	if (len > 0)
		open->path_len = len;
}

/* struct open_how begins with the flags, of 64 bits (include/uapi/linux/openat2.h). */
INLINE void read_how(struct open *open)
{
	if (open->how_at && !read_user(&open->flags, sizeof(open->flags), (void *)open->how_at))
		open->how_at = 0;
}

INLINE u64 argument(const void *regs, bool compat, u64 native_offset, u64 compat_offset)
{
	return compat ? read_u32(regs, compat_offset) : read_u64(regs, native_offset);
}

/* *regs*: the user's registers at the system call. */
INLINE int opening(const void *regs)
{
	u32 nr = read_u32(regs, OFF_REGS_NR);

	if (!may_be_open(nr))
		return 0;
	enum open_call call = open_call(nr);
	u64 task = bpf_get_current_task();
	u64 pid_tgid = bpf_get_current_pid_tgid();
	u32 zero = 0;
	struct open *open = blank.lookup(&zero);

	if (!call || !open || !task_matches() || !within_budget(PARAMETER(OPENS_PER_SECOND)))
		return 0;
	if (opens.update(&task, open)) {
		count_lost(LOST_MAP);
		return 0;
	}
	open = opens.lookup(&task);
	if (!open)
		return 0;

	bool compat = in_compat_call();
	u64 first = argument(regs, compat, OFF_REGS_ARG1, OFF_REGS_COMPAT_ARG1);
	u64 second = argument(regs, compat, OFF_REGS_ARG2, OFF_REGS_COMPAT_ARG2);
	u64 third = argument(regs, compat, OFF_REGS_ARG3, OFF_REGS_COMPAT_ARG3);
	bool at = call == CALL_OPENAT || call == CALL_OPENAT2;

	open->pid = pid_tgid >> 32;
	open->tid = pid_tgid;
	open->uid = bpf_get_current_uid_gid();
	open->call = call;
	open->dirfd = at ? (s32)first : AT_FDCWD;
	open->path_at = at ? second : first;
	open->how_at = call == CALL_OPENAT2 ? third : 0;
	open->flags = call == CALL_CREAT ? CREAT_FLAGS : call == CALL_OPENAT2 ? 0 : (u32)(at ? third : second);
	bpf_get_current_comm(open->comm, COMM_LEN);
	read_path(open);
	read_how(open);
	open->time_ns = bpf_ktime_get_ns(); /* last: what is done here is no part of the latency */
	return 0;
}

INLINE int opened(void *ctx, s64 ret)
{
	u64 now_ns = bpf_ktime_get_ns();
	u64 task = bpf_get_current_task();
	struct open *open = opens.lookup(&task);

	if (!open)
		return 0;
	open->duration_ns = now_ns - open->time_ns;
	open->ret = ret;
	read_path(open);
	read_how(open);
	if (!open->path_len && ret != -EFAULT) /* then the kernel could not read it either */
		count_lost(LOST_ARGV);
	submit(ctx, open, sizeof(*open));
	opens.delete(&task);
	return 0;
}

/* raw tracepoint args of sys_enter: registers, number; of sys_exit: registers, return value. */
int opens_on_sys_enter(struct bpf_raw_tracepoint_args *ctx)
{
	return may_be_open(ctx->args[1]) ? opening((void *)ctx->args[0]) : 0;
}

int opens_on_sys_exit(struct bpf_raw_tracepoint_args *ctx)
{
	u32 nr = read_u32((void *)ctx->args[0], OFF_REGS_NR);

	if (!may_be_open(nr))
		return 0;
#ifdef HAVE_X32
	/* A kernel without x32 answers this, and calls no function: the other programs do not see such a call. */
	if (nr & X32_BIT && (s64)ctx->args[1] == -ENOSYS) {
		u64 task = bpf_get_current_task();

		opens.delete(&task);
		return 0;
	}
#endif
	return opened(ctx, ctx->args[1]);
}

#ifdef WITH_KPROBES
/* The only argument of a syscall's kernel function is the user's registers. */
int opens_kprobe(struct pt_regs *ctx)
{
	return opening((void *)PT_REGS_PARM1(ctx));
}

int opens_kretprobe(struct pt_regs *ctx)
{
	return opened(ctx, PT_REGS_RC(ctx));
}
#endif

#ifdef WITH_FENTRY
/* By position: Linux 5.10's verifier refuses to read by name what its BTF only declares. */
#define OPENS_AT(function)                            \
	FENTRY(function, void *regs)                  \
	{                                             \
		return opening(read_pointer(ctx, 0)); \
	}                                             \
	FEXIT(function, void *regs, long ret)         \
	{                                             \
		return opened(ctx, ret);              \
	}

/* The functions behind these calls, of every ABI; src/ebpftop/probes/opens.py names them. */
OPENS_AT(OPENS_FUNCTION_1)
OPENS_AT(OPENS_FUNCTION_2)
#ifdef OPENS_FUNCTION_3
OPENS_AT(OPENS_FUNCTION_3)
#endif
#ifdef OPENS_FUNCTION_4
OPENS_AT(OPENS_FUNCTION_4)
#endif
#ifdef OPENS_FUNCTION_5
OPENS_AT(OPENS_FUNCTION_5)
#endif
#ifdef OPENS_FUNCTION_6
OPENS_AT(OPENS_FUNCTION_6)
#endif
#ifdef OPENS_FUNCTION_7
OPENS_AT(OPENS_FUNCTION_7)
#endif
#ifdef OPENS_FUNCTION_8
OPENS_AT(OPENS_FUNCTION_8)
#endif
#endif
