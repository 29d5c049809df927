/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Operations of io_uring are requested in memory, and no system call reports them. They are counted by their opcode
 * when the kernel accepts them. If a kernel thread accepts them for a process (IORING_SETUP_SQPOLL), they count for
 * that process: the thread belongs to it. Included by syscalls.c.
 */
#ifdef OFF_URING_OPCODE
#define URING_OPCODES 256

BPF_PERCPU_ARRAY(uring_operations, u64, URING_OPCODES);

/* tracepoint io_uring:io_uring_submit_req, io_uring_submit_sqe before 6.4 */
int uring_submitted(void *ctx)
{
	u32 opcode = *(volatile u8 *)(ctx + OFF_URING_OPCODE);

	if (!task_matches())
		return 0;
	u64 *count = uring_operations.lookup(&opcode);

	if (count)
		*count += 1;
	return 0;
}
#endif
