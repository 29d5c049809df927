"""The arguments of every system call, one line a call. Source: the kernel's own prototypes (include/linux/syscalls.h).

Written by hand: a prototype says `int` for a descriptor, a pid and a set of flags alike. tests/kernel compares the
number of arguments, their widths, and which of them are strings with what this kernel says.

    name[,name..] [ARG=VALUE[,VALUE..]] kind kind ..

A kind is how an argument is shown: one of `ebpftop.syscalls.decode`, or a table of `ebpftop.syscalls.constants`. ``_``
is an unused register. ``wide`` is a 64-bit number, which uses two registers on 32-bit ABIs; ``pair`` uses two on every
ABI. ``path`` is a string; ``mode?`` counts only if the argument before it requires it.

A line with a condition is used if argument ARG (from 0) has one of those VALUES of its table; otherwise the plain line
of the call is used, which comes first and names that table. ``i386:name`` is the line of that ABI if it differs. A call
without a line of its own has the line of its name without ``_time64``, ``64`` or ``32``.
"""

TEXT = """
read,write fd ptr size
readv,writev fd ptr ulong
pread64,pwrite64 fd ptr size wide
preadv,pwritev fd ptr ulong pair
preadv2,pwritev2 fd ptr ulong pair rwf
open path open mode?
openat dirfd path open mode?
openat2 dirfd path ptr size
open_by_handle_at fd ptr open
name_to_handle_at dirfd path ptr ptr at_handle
creat path mode
close fd
close_range uint uint close_range
dup fd
dup2 fd fd
dup3 fd fd fdopen
fcntl fd fcntl hex
fcntl 1=F_DUPFD,F_DUPFD_CLOEXEC fd fcntl fd
fcntl 1=F_GETFD,F_GETFL,F_GETOWN,F_GETSIG,F_GETLEASE,F_GETPIPE_SZ,F_GET_SEALS fd fcntl
fcntl 1=F_SETFD fd fcntl fdflags
fcntl 1=F_SETFL fd fcntl open
fcntl 1=F_SETOWN fd fcntl int
fcntl 1=F_SETSIG fd fcntl sig
fcntl 1=F_SETLEASE fd fcntl lease
fcntl 1=F_ADD_SEALS fd fcntl seals
fcntl 1=F_SETPIPE_SZ fd fcntl int
fcntl 1=F_GETLK,F_SETLK,F_SETLKW,F_GETLK64,F_SETLK64,F_SETLKW64,F_OFD_GETLK,F_OFD_SETLK,F_OFD_SETLKW fd fcntl ptr
fcntl 1=F_SETOWN_EX,F_GETOWN_EX fd fcntl ptr
flock fd flock
ioctl fd ioctl ptr
ioctl 1=FIOCLEX,FIONCLEX,TIOCNOTTY,TIOCEXCL,TIOCNXCL,TIOCSBRK,TIOCCBRK,TIOCVHANGUP,BLKRRPART fd ioctl
ioctl 1=FICLONE fd ioctl fd
ioctl 1=TCFLSH fd ioctl tcflush
ioctl 1=PERF_EVENT_IOC_ENABLE,PERF_EVENT_IOC_DISABLE,PERF_EVENT_IOC_RESET fd ioctl hex
lseek fd long whence
_llseek fd uint uint ptr whence
stat,lstat,oldstat,oldlstat path ptr
fstat,oldfstat fd ptr
newfstatat,fstatat64 dirfd path ptr at
statx dirfd path at_statx statx ptr
statfs path ptr
fstatfs fd ptr
statfs64 path size ptr
fstatfs64 fd size ptr
ustat hex32 ptr
access path access
faccessat dirfd path access
faccessat2 dirfd path access at_access
chmod path mode
fchmod fd mode
fchmodat dirfd path mode
fchmodat2 dirfd path mode at
chown,lchown path id id
fchown fd id id
i386:chown,i386:lchown,arm:chown,arm:lchown path id16 id16
i386:fchown,arm:fchown fd id16 id16
fchownat dirfd path id id at
chdir,chroot,rmdir,unlink,acct,swapoff,mq_unlink path
fchdir,fsync,fdatasync,syncfs fd
mkdir path mode
mkdirat dirfd path mode
mknod path fmode dev?
mknodat dirfd path fmode dev?
unlinkat dirfd path at
rename,link,symlink,pivot_root path path
renameat dirfd path dirfd path
renameat2 dirfd path dirfd path rename
linkat dirfd path dirfd path at
symlinkat path dirfd path
readlink path ptr size
readlinkat dirfd path ptr size
truncate path long
ftruncate fd long
truncate64 path wide
ftruncate64 fd wide
fallocate fd fallocate wide wide
fadvise64 fd wide size fadvise
fadvise64_64 fd wide wide fadvise
arm_fadvise64_64 fd fadvise wide wide
readahead fd wide size
sync_file_range fd wide wide sync_range
sync_file_range2 fd sync_range wide wide
getdents fd ptr uint
readdir fd ptr uint
getcwd ptr size
umask mode
utime,utimes path ptr
futimesat dirfd path ptr
utimensat dirfd path ptr at
getxattr,lgetxattr path path ptr size
fgetxattr fd path ptr size
setxattr,lsetxattr path path ptr size xattr
fsetxattr fd path ptr size xattr
listxattr,llistxattr path ptr size
flistxattr fd ptr size
removexattr,lremovexattr path path
fremovexattr fd path
getxattrat dirfd path at path ptr size
setxattrat dirfd path at path ptr size
listxattrat dirfd path at ptr size
removexattrat dirfd path at path
file_getattr,file_setattr dirfd path ptr size at
copy_file_range fd ptr fd ptr size hex32
sendfile fd fd ptr size
splice fd ptr fd ptr size splice
tee fd fd size splice
vmsplice fd ptr ulong splice
mount path path ptr mount ptr
umount path
umount2 path umount
move_mount dirfd path dirfd path move_mount
open_tree dirfd path open_tree
open_tree_attr dirfd path open_tree ptr size
mount_setattr dirfd path at ptr size
fsopen path fsopen
fsmount fd fsmount mount_attr
fspick dirfd path fspick
fsconfig fd fsconfig path ptr int
statmount ptr ptr size hex32
listmount,listns ptr ptr size hex32
quotactl hex32 path id ptr
quotactl_fd fd hex32 id ptr
swapon path hex32
sysfs int hex hex
lookup_dcookie wide ptr size
sync
inotify_init
inotify_init1 inotify_init
inotify_add_watch fd path inotify
inotify_rm_watch fd int
fanotify_init fanotify_init open
fanotify_mark fd fanotify_mark fanotify_mask dirfd path
cachestat fd ptr ptr hex32

poll ptr uint int
ppoll ptr uint ptr ptr size
select,_newselect int ptr ptr ptr ptr
i386:select ptr
pselect6 int ptr ptr ptr ptr ptr
epoll_create int
epoll_create1 epoll_create
epoll_ctl fd epoll_ctl fd ptr
epoll_ctl_old,epoll_wait_old hex hex hex hex
epoll_wait fd ptr int int
epoll_pwait fd ptr int int ptr size
epoll_pwait2 fd ptr int ptr ptr size
eventfd uint
eventfd2 uint eventfd
signalfd fd ptr size
signalfd4 fd ptr size signalfd
pipe ptr
pipe2 ptr fdopen
io_setup uint ptr
io_destroy ptr
io_submit ptr long ptr
io_cancel ptr ptr ptr
io_getevents ptr long long ptr ptr
io_pgetevents ptr long long ptr ptr ptr
io_uring_setup uint ptr
io_uring_enter fd uint uint uring_enter ptr size
io_uring_register fd uring_register ptr uint
userfaultfd fdopen

mmap ptr size prot mmap fd hex
i386:mmap ptr
mmap2 ptr size prot mmap fd pages
munmap ptr size
mremap ptr size size mremap ptr
mremap 3=0,MREMAP_MAYMOVE ptr size size mremap
mprotect ptr size prot
pkey_mprotect ptr size prot int
pkey_alloc hex hex
pkey_free int
madvise ptr size madvise
process_madvise fd ptr size madvise hex32
process_mrelease fd hex32
mlock,munlock ptr size
mlock2 ptr size mlock2
mlockall mlockall
munlockall
mincore ptr size ptr
msync ptr size msync
mseal ptr size hex
brk ptr
remap_file_pages ptr size prot ulong mmap
mbind ptr ulong int ptr ulong hex32
get_mempolicy ptr ptr ulong ptr hex
set_mempolicy int ptr ulong
set_mempolicy_home_node ptr ulong ulong hex
migrate_pages pid ulong ptr ptr
move_pages pid ulong ptr ptr ptr hex32
memfd_create path memfd
memfd_secret fdopen
map_shadow_stack ptr ulong hex32
membarrier membarrier membarrier_cpu cpu?
process_vm_readv,process_vm_writev pid ptr ulong ptr ulong hex
cacheflush ptr ptr hex

fork,vfork,getpid,getppid,gettid,getuid,geteuid,getgid,getegid,getpgrp,setsid,sched_yield,pause,vhangup
restart_syscall,rt_sigreturn,sigreturn,uprobe,uretprobe,breakpoint,get_tls
clone clone ptr ptr ptr ptr
clone3 ptr size
execve path ptr ptr
execveat dirfd path ptr ptr at_exec
exit,exit_group int
wait4 pid ptr wait ptr
waitpid pid ptr wait
waitid idtype pid ptr wait ptr
kill pid sig
tkill pid sig
tgkill pid pid sig
pidfd_open pid pidfd
pidfd_getfd fd fd hex32
pidfd_send_signal fd sig ptr hex32
setuid,setgid,setfsuid,setfsgid id
setreuid,setregid id id
setresuid,setresgid id id id
i386:setuid,i386:setgid,i386:setfsuid,i386:setfsgid,arm:setuid,arm:setgid,arm:setfsuid,arm:setfsgid id16
i386:setreuid,i386:setregid,arm:setreuid,arm:setregid id16 id16
i386:setresuid,i386:setresgid,arm:setresuid,arm:setresgid id16 id16 id16
getresuid,getresgid ptr ptr ptr
getgroups,setgroups int ptr
getpgid,getsid pid
setpgid pid pid
capget,capset ptr ptr
getrlimit,setrlimit,ugetrlimit rlimit ptr
prlimit64 pid rlimit ptr ptr
getrusage rusage ptr
times,time,stime,sysinfo,uname,olduname,oldolduname,adjtimex,set_tid_address,set_thread_area,get_thread_area ptr
set_tls ptr
getpriority prio int
setpriority prio int int
nice int
ioprio_get ioprio int
ioprio_set ioprio int hex32
sched_setscheduler pid sched ptr
sched_getscheduler pid
sched_setparam,sched_getparam pid ptr
sched_setattr pid ptr hex32
sched_getattr pid ptr uint hex32
sched_setaffinity,sched_getaffinity pid uint ptr
sched_get_priority_max,sched_get_priority_min sched
sched_rr_get_interval pid ptr
rseq ptr hex32 hex32 hex32
rseq_slice_yield
set_robust_list ptr size
get_robust_list pid ptr ptr
personality hex32
prctl prctl hex hex hex hex
prctl 0=PR_SET_PDEATHSIG prctl sig
prctl 0=PR_GET_DUMPABLE,PR_GET_KEEPCAPS,PR_GET_SECCOMP,PR_GET_SECUREBITS,PR_GET_TIMERSLACK prctl
prctl 0=PR_GET_PDEATHSIG,PR_GET_CHILD_SUBREAPER,PR_SET_NAME,PR_GET_NAME,PR_GET_TID_ADDRESS prctl ptr
prctl 0=PR_SET_DUMPABLE prctl dumpable
prctl 0=PR_SET_KEEPCAPS,PR_SET_CHILD_SUBREAPER prctl ulong
prctl 0=PR_CAPBSET_READ,PR_CAPBSET_DROP prctl cap
prctl 0=PR_CAP_AMBIENT prctl ambient cap? ulong ulong
prctl 0=PR_SET_VMA prctl vma ptr size ptr
prctl 0=PR_SET_NO_NEW_PRIVS prctl ulong ulong ulong ulong
prctl 0=PR_SET_TIMERSLACK prctl ulong
prctl 0=PR_SET_SECCOMP prctl seccomp_mode ptr
arch_prctl arch_prctl ptr
ptrace ptrace pid ptr ptr
unshare namespaces
setns fd namespaces
seccomp seccomp seccomp_flags ptr
kcmp pid pid int ulong ulong
getcpu ptr ptr ptr
modify_ldt int ptr ulong
ioperm ulong ulong int
iopl uint
landlock_create_ruleset ptr size hex32
landlock_add_rule fd uint ptr hex32
landlock_restrict_self fd hex32
lsm_get_self_attr uint ptr ptr hex32
lsm_set_self_attr uint ptr uint hex32
lsm_list_modules ptr ptr hex32
vm86old ptr
vm86 ulong ptr

rt_sigaction sig ptr ptr size
sigaction sig ptr ptr
signal sig ptr
rt_sigprocmask sighow ptr ptr size
sigprocmask sighow ptr ptr
rt_sigpending ptr size
sigpending ptr
rt_sigsuspend ptr size
sigsuspend int int hex
rt_sigtimedwait ptr ptr ptr size
rt_sigqueueinfo pid sig ptr
rt_tgsigqueueinfo pid pid sig ptr
sigaltstack ptr ptr
sgetmask
ssetmask hex32
alarm uint
getitimer itimer ptr
setitimer itimer ptr ptr
nanosleep ptr ptr
clock_gettime,clock_settime,clock_getres,clock_adjtime clock ptr
clock_nanosleep clock abstime ptr ptr
gettimeofday,settimeofday ptr ptr
timer_create clock ptr ptr
timer_settime int abstime ptr ptr
timer_gettime int ptr
timer_getoverrun,timer_delete int
timerfd_create clock timerfd_create
timerfd_settime fd timerfd ptr ptr
timerfd_gettime fd ptr
futex ptr futex uint ptr ptr hex32
futex 1=FUTEX_WAIT ptr futex uint ptr
futex 1=FUTEX_WAIT_BITSET ptr futex uint ptr _ bitset
futex 1=FUTEX_WAKE ptr futex uint
futex 1=FUTEX_WAKE_BITSET ptr futex uint _ _ bitset
futex 1=FUTEX_REQUEUE ptr futex uint uint ptr
futex 1=FUTEX_CMP_REQUEUE,FUTEX_CMP_REQUEUE_PI ptr futex uint uint ptr uint
futex 1=FUTEX_WAKE_OP ptr futex uint uint ptr hex32
futex 1=FUTEX_LOCK_PI,FUTEX_LOCK_PI2 ptr futex _ ptr
futex 1=FUTEX_UNLOCK_PI,FUTEX_TRYLOCK_PI ptr futex
futex_wait ptr ulong hex hex32 ptr clock
futex_wake ptr hex int hex32
futex_requeue ptr hex32 int int
futex_waitv ptr uint hex32 ptr clock

socket domain socktype int
socket 0=AF_INET domain socktype ipproto
socket 0=AF_INET6 domain socktype icmp6proto
socket 0=AF_NETLINK domain socktype netlink
socketpair domain socktype int ptr
bind,connect fd ptr int
listen fd int
accept,getsockname,getpeername fd ptr ptr
accept4 fd ptr ptr sockflags
send,recv fd ptr size msg
sendto fd ptr size msg ptr int
recvfrom fd ptr size msg ptr ptr
sendmsg,recvmsg fd ptr msg
sendmmsg fd ptr uint msg
recvmmsg fd ptr uint msg ptr
shutdown fd shutdown
getsockopt fd level int ptr ptr
getsockopt 1=SOL_SOCKET fd level so ptr ptr
getsockopt 1=SOL_TCP fd level tcp ptr ptr
setsockopt fd level int ptr int
setsockopt 1=SOL_SOCKET fd level so ptr int
setsockopt 1=SOL_TCP fd level tcp ptr int
socketcall int ptr
ipc uint int int int ptr long
sethostname,setdomainname ptr int

semget ipc_key int ipc_mode
semop int ptr uint
semtimedop int ptr uint ptr
semctl int int ipc_ctl ptr
msgget ipc_key ipc_mode
msgsnd int ptr size hex32
msgrcv int ptr size long hex32
msgctl int ipc_ctl ptr
shmget ipc_key size ipc_mode
shmat int ptr hex32
shmdt ptr
shmctl int ipc_ctl ptr
mq_open path open mode? ptr
mq_timedsend fd ptr size uint ptr
mq_timedreceive fd ptr size ptr ptr
mq_notify fd ptr
mq_getsetattr fd ptr ptr

bpf bpf ptr uint
perf_event_open ptr pid int fd perf_open
getrandom ptr size random
reboot hex32 hex32 hex32 ptr
syslog syslog ptr int
init_module ptr ulong path
finit_module fd path module
delete_module path fdopen
kexec_load ptr ulong ptr hex
kexec_file_load fd fd ulong path hex
add_key path path ptr size int
request_key path path ptr int
keyctl int hex hex hex hex
pciconfig_read,pciconfig_write hex hex hex hex ptr
pciconfig_iobase long hex hex
usr26,usr32
"""
