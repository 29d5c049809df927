/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the file descriptors of a traced call are: the structures. The walks: syscalls_walks.h. Included by syscalls.c.
 */
#include "walk_types.h"

#define HEAD_MASK 16383 /* values and names stay below 16 KiB */
#define FILES 4 /* two arguments, what the call returned, and with STACKS the file that the process runs */
#define FILES_MASK 3 /* at least FILES - 1 */
#define FILE_RETURNED 2 /* their places */
#define FILE_OF_PROCESS 3
#define FILE_STEPS 48 /* of all paths together */
#define FILE_OF_RESULT 255
#define FILE_IS_DIR 128
#define AF_INET 2 /* include/linux/socket.h */
#define AF_INET6 10
#define AT_FDCWD -100 /* include/uapi/linux/fcntl.h */

/* Layout known to src/ebpftop/probes/traced_files.py. */
struct socket_ends {
	u16 family; /* 0: no socket */
	u16 type;
	u16 protocol;
	u16 port;
	u16 peer_port; /* in network order */
	u16 unused;
	u32 state;
	u8 address[16];
	u8 peer[16];
};

struct files {
	struct place place[FILES_MASK + 1];
	struct socket_ends socket[FILES_MASK + 1];
	u8 of[8]; /* by place: argument + 1, FILE_OF_RESULT, or 0 */
};
