"""What C files use of the kernel's headers that is no type, so that BTF does not have it: macros.

Each line here is one. A file gets those whose names it uses, except what it or the kernel's BTF defines. The values are
part of the kernel's interface with programs, or have been the same in every kernel since 5.5 (include/uapi/linux,
include/linux and include/net of the kernel).
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping

from ebpftop.kernel.stub_headers import kernel_arch

_PAGE_SHIFT = os.sysconf("SC_PAGE_SIZE").bit_length() - 1
# Where the kernel has its addresses: with page tables of four levels on x86-64; on arm64 with those of 52 bits, which
# no kernel exceeds (arch/*/include/asm: page_64_types.h, memory.h). Programs ask whether an address is one of them.
_PAGE_OFFSETS = {"x86": "__PAGE_OFFSET_BASE_L4", "arm64": "0xfff0000000000000UL"}

_MACROS = r"""
#define PAGE_SHIFT %(page_shift)d
#define PAGE_MASK (~((1UL << %(page_shift)d) - 1))
#define PAGE_OFFSET %(page_offset)s
#define __PAGE_OFFSET_BASE_L4 0xffff888000000000UL
#define __PAGE_OFFSET_BASE_L5 0xff11000000000000UL
#define BITS_PER_LONG 64
#define offsetof(type, member) __builtin_offsetof(type, member)
#define container_of(ptr, type, member) ((type *)((char *)(ptr) - __builtin_offsetof(type, member)))
#define list_entry(ptr, type, member) container_of(ptr, type, member)
#define __user
#define __kernel
#define __force
#define __iomem
#define __percpu
#define __rcu
#define __inline inline
#define __always_inline inline __attribute__((always_inline))
#define noinline __attribute__((noinline))
#define __packed __attribute__((packed))
#define __aligned(n) __attribute__((aligned(n)))
#define __maybe_unused __attribute__((unused))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define barrier() asm volatile("" : : : "memory")
#define READ_ONCE(x) (*(volatile typeof(x) *)&(x))
#define WRITE_ONCE(x, value) (*(volatile typeof(x) *)&(x) = (value))
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define BUILD_BUG_ON(x) _Static_assert(!(x), #x)
#define BIT(n) (1UL << (n))
#define GENMASK(high, low) (((~0UL) << (low)) & (~0UL >> (63 - (high))))
#define min(a, b) ({ typeof(a) __min_a = (a); typeof(b) __min_b = (b); __min_a < __min_b ? __min_a : __min_b; })
#define max(a, b) ({ typeof(a) __max_a = (a); typeof(b) __max_b = (b); __max_a > __max_b ? __max_a : __max_b; })
#define min_t(type, a, b) ({ type __min_a = (a); type __min_b = (b); __min_a < __min_b ? __min_a : __min_b; })
#define max_t(type, a, b) ({ type __max_a = (a); type __max_b = (b); __max_a > __max_b ? __max_a : __max_b; })
#define div_u64(a, b) ((unsigned long long)(a) / (unsigned int)(b))
#define div64_u64(a, b) ((unsigned long long)(a) / (unsigned long long)(b))
#define roundup_pow_of_two(n) (1UL << (64 - __builtin_clzl((n) - 1)))
#define INT_MAX 0x7fffffff
#define INT_MIN (-INT_MAX - 1)
#define UINT_MAX 0xffffffffU
#define LONG_MAX 0x7fffffffffffffffL
#define ULONG_MAX 0xffffffffffffffffUL
#define U8_MAX 0xff
#define U16_MAX 0xffff
#define U32_MAX 0xffffffffU
#define U64_MAX 0xffffffffffffffffULL
#define MAX_ERRNO 4095
#define IS_ERR(ptr) ((unsigned long)(ptr) >= (unsigned long)-4095)
#define IS_ERR_VALUE(x) ((unsigned long)(x) >= (unsigned long)-4095)
#define IS_ERR_OR_NULL(ptr) (!(ptr) || (unsigned long)(ptr) >= (unsigned long)-4095)
#define PTR_ERR(ptr) ((long)(ptr))
#define ERR_PTR(n) ((void *)(long)(n))
#define EPERM 1
#define ENOENT 2
#define EINTR 4
#define EIO 5
#define EBADF 9
#define EAGAIN 11
#define EWOULDBLOCK 11
#define ENOMEM 12
#define EACCES 13
#define EFAULT 14
#define EBUSY 16
#define EEXIST 17
#define EINVAL 22
#define ENOSPC 28
#define EINPROGRESS 115
#define HZ 250
#define NSEC_PER_SEC 1000000000L
#define NSEC_PER_MSEC 1000000L
#define NSEC_PER_USEC 1000L
#define USEC_PER_SEC 1000000L
#define TASK_COMM_LEN 16
#define PATH_MAX 4096
#define NAME_MAX 255
#define DISK_NAME_LEN 32
#define IFNAMSIZ 16
#define MODULE_NAME_LEN (64 - sizeof(unsigned long))
#define FMODE_READ 0x1
#define FMODE_WRITE 0x2
#define FMODE_CREATED 0x100000
#define TASK_RUNNING 0
#define TASK_INTERRUPTIBLE 1
#define TASK_UNINTERRUPTIBLE 2
#define TASK_STOPPED 4
#define TASK_TRACED 8
#define TASK_DEAD 0x80
#define TASK_NOLOAD 0x400
#define TASK_IDLE 0x402
#define PF_EXITING 0x4
#define PF_KTHREAD 0x200000
#define CLONE_VM 0x100
#define CLONE_THREAD 0x10000
#define READ 0
#define WRITE 1
#define MAX_RT_PRIO 100
#define MAX_PRIO 140
#define REQ_OP_BITS 8
#define REQ_OP_MASK ((1 << 8) - 1)
#define MINORBITS 20
#define MINORMASK ((1U << 20) - 1)
#define MAJOR(dev) ((unsigned int)((dev) >> 20))
#define MINOR(dev) ((unsigned int)((dev) & ((1U << 20) - 1)))
#define MKDEV(major, minor) (((major) << 20) | (minor))
#define SECTOR_SHIFT 9
#define SECTOR_SIZE 512
#define S_IFMT 0170000
#define S_IFSOCK 0140000
#define S_IFLNK 0120000
#define S_IFREG 0100000
#define S_IFBLK 0060000
#define S_IFDIR 0040000
#define S_IFCHR 0020000
#define S_IFIFO 0010000
#define S_ISLNK(mode) (((mode) & 0170000) == 0120000)
#define S_ISREG(mode) (((mode) & 0170000) == 0100000)
#define S_ISDIR(mode) (((mode) & 0170000) == 0040000)
#define S_ISCHR(mode) (((mode) & 0170000) == 0020000)
#define S_ISBLK(mode) (((mode) & 0170000) == 0060000)
#define S_ISFIFO(mode) (((mode) & 0170000) == 0010000)
#define S_ISSOCK(mode) (((mode) & 0170000) == 0140000)
#define O_RDONLY 0
#define O_WRONLY 1
#define O_RDWR 2
#define O_CREAT 0100
#define O_TRUNC 01000
#define O_APPEND 02000
#define O_NONBLOCK 04000
#define AT_FDCWD -100
#define PROT_READ 1
#define PROT_WRITE 2
#define PROT_EXEC 4
#define MAP_SHARED 1
#define MAP_PRIVATE 2
#define MAP_FIXED 0x10
#define MAP_ANONYMOUS 0x20
#define VM_FAULT_MAJOR 4
#define SIGKILL 9
#define SIGTERM 15
#define AF_UNSPEC 0
#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define AF_NETLINK 16
#define AF_PACKET 17
#define PF_UNIX 1
#define PF_INET 2
#define PF_INET6 10
#define SOL_SOCKET 1
#define SCM_RIGHTS 1
#define SCM_CREDENTIALS 2
#define IPPROTO_IP 0
#define IPPROTO_ICMP 1
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
#define IPPROTO_IPV6 41
#define IPPROTO_GRE 47
#define IPPROTO_ICMPV6 58
#define IPPROTO_SCTP 132
#define ETH_ALEN 6
#define ETH_HLEN 14
#define ETH_P_IP 0x0800
#define ETH_P_ARP 0x0806
#define ETH_P_8021Q 0x8100
#define ETH_P_8021AD 0x88A8
#define ETH_P_IPV6 0x86DD
#define ETH_P_ALL 0x0003
#define VLAN_HLEN 4
#define TC_ACT_UNSPEC (-1)
#define TC_ACT_OK 0
#define TC_ACT_SHOT 2
#define TC_ACT_REDIRECT 7
#define ntohs(x) ((unsigned short)__builtin_bswap16((unsigned short)(x)))
#define htons(x) ((unsigned short)__builtin_bswap16((unsigned short)(x)))
#define ntohl(x) ((unsigned int)__builtin_bswap32((unsigned int)(x)))
#define htonl(x) ((unsigned int)__builtin_bswap32((unsigned int)(x)))
#define be16_to_cpu(x) ((unsigned short)__builtin_bswap16((unsigned short)(x)))
#define be32_to_cpu(x) ((unsigned int)__builtin_bswap32((unsigned int)(x)))
#define be64_to_cpu(x) ((unsigned long long)__builtin_bswap64((unsigned long long)(x)))
#define cpu_to_be16(x) ((unsigned short)__builtin_bswap16((unsigned short)(x)))
#define cpu_to_be32(x) ((unsigned int)__builtin_bswap32((unsigned int)(x)))
#define cpu_to_be64(x) ((unsigned long long)__builtin_bswap64((unsigned long long)(x)))
#define sk_family __sk_common.skc_family
#define sk_state __sk_common.skc_state
#define sk_num __sk_common.skc_num
#define sk_dport __sk_common.skc_dport
#define sk_daddr __sk_common.skc_daddr
#define sk_rcv_saddr __sk_common.skc_rcv_saddr
#define sk_v6_daddr __sk_common.skc_v6_daddr
#define sk_v6_rcv_saddr __sk_common.skc_v6_rcv_saddr
#define sk_net __sk_common.skc_net
#define sk_cookie __sk_common.skc_cookie
#define sk_bound_dev_if __sk_common.skc_bound_dev_if
#define inet_daddr sk.__sk_common.skc_daddr
#define inet_rcv_saddr sk.__sk_common.skc_rcv_saddr
#define inet_dport sk.__sk_common.skc_dport
#define inet_num sk.__sk_common.skc_num
#define ir_num req.__req_common.skc_num
#define ir_rmt_port req.__req_common.skc_dport
#define ir_rmt_addr req.__req_common.skc_daddr
#define ir_loc_addr req.__req_common.skc_rcv_saddr
#define inet_sk(sk) ((struct inet_sock *)(sk))
#define inet_csk(sk) ((struct inet_connection_sock *)(sk))
#define tcp_sk(sk) ((struct tcp_sock *)(sk))
#define udp_sk(sk) ((struct udp_sock *)(sk))
#define unix_sk(sk) ((struct unix_sock *)(sk))
#define inet_rsk(req) ((struct inet_request_sock *)(req))
#define skb_get_queue_mapping(skb) ((skb)->queue_mapping)
#define skb_rx_queue_recorded(skb) ((skb)->queue_mapping != 0)
#define skb_get_rx_queue(skb) ((skb)->queue_mapping - 1)
#define sg_is_chain(sg) ((sg)->page_link & 1UL)
#define sg_is_last(sg) ((sg)->page_link & 2UL)
#define sg_chain_ptr(sg) ((struct scatterlist *)((sg)->page_link & ~3UL))
#define XFS_SUPER_MAGIC 0x58465342
"""

_OF_MACHINE = {"page_shift": _PAGE_SHIFT, "page_offset": _PAGE_OFFSETS.get(kernel_arch(), _PAGE_OFFSETS["x86"])}

MACROS: Mapping[str, str] = {
    re.split(r"\W", line, maxsplit=3)[2]: line for line in (_MACROS % _OF_MACHINE).strip().splitlines()
}
"""The line that defines a macro, by its name."""


def needed(words: Collection[str], not_here: Collection[str]) -> dict[str, str]:
    """Return the macros of *words* and those that they use, in the order of the table; none that is in *not_here*."""
    chosen: set[str] = set()
    waiting = list(MACROS.keys() & set(words))
    while waiting:
        name = waiting.pop()
        if name not in chosen and name not in not_here:
            chosen.add(name)
            waiting += MACROS.keys() & set(re.findall(r"\w+", MACROS[name]))
    return {name: line for name, line in MACROS.items() if name in chosen}
