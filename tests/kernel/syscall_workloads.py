"""Programs in C that make known system calls, and nothing else that matters."""

from __future__ import annotations

GOLDEN = """
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void handle(int number) { (void)number; }

static long raw(long nr)
{
	long ret;
	asm volatile("syscall" : "=a"(ret) : "a"(nr) : "rcx", "r11", "memory");
	return ret;
}

int main(void)
{
	sigset_t usr1, none;

	sigemptyset(&none);
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	sigprocmask(SIG_BLOCK, &usr1, 0);
	signal(SIGUSR1, handle);
	for (int i = 0; i < 10; i++) {
		long ret;

		if (!syscall(SYS_fork))
			_exit(0);
		waitpid(-1, 0, 0);
		syscall(SYS_tkill, syscall(SYS_gettid), SIGUSR1);
		sigsuspend(&none); /* EINTR: what it interrupts is what rt_sigreturn leaves with */
		asm volatile("int $0x80" : "=a"(ret) : "a"(20) : "memory"); /* i386 getpid; writev to x86-64 */
		raw(0x40000000 | 39);
		raw(9999);
		raw(0x40000000 | 9999);
		raw(-1);
	}
	return 0;
}
"""

# argv[1] threads, a few at a time; each sleeps and reads from a pipe. Then it waits to be killed with threads asleep.
CHURN = """
#include <pthread.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int ends[2];

static void *live(void *unused)
{
	struct timespec time = {.tv_nsec = 50000};
	char byte;

	syscall(SYS_getppid);
	nanosleep(&time, 0);
	(void)!read(ends[0], &byte, 1);
	return unused;
}

static void *hang(void *unused)
{
	pause();
	return unused;
}

int main(int argc, char **argv)
{
	int left = argc > 1 ? atoi(argv[1]) : 0;

	(void)!pipe(ends);
	while (left > 0) {
		pthread_t threads[20];

		for (int i = 0; i < 20; i++)
			pthread_create(&threads[i], 0, live, 0);
		for (int i = 0; i < 20; i++)
			(void)!write(ends[1], "x", 1);
		for (int i = 0; i < 20; i++)
			pthread_join(threads[i], 0);
		left -= 20;
	}
	for (int i = 0; i < 20; i++) {
		pthread_t thread;

		pthread_create(&thread, 0, hang, 0);
	}
	(void)!write(1, "done", 4);
	pause();
}
"""

REFUSED = """
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int main(void)
{
	struct timespec fifty_ms = {.tv_nsec = 50 * 1000 * 1000}, wrong = {.tv_nsec = -1};
	for (int i = 0; i < 5; i++) {
		syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &fifty_ms, NULL);
		syscall(SYS_getppid);
	}
	for (int i = 0; i < 7; i++)
		syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &wrong, NULL);
}
"""

SLEEPS = """
#include <time.h>

int main(void)
{
	struct timespec time = {.tv_nsec = 50000000};

	for (int i = 0; i < 5; i++)
		clock_nanosleep(CLOCK_MONOTONIC, 0, &time, 0);
	return 0;
}
"""

FAILS = """
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
	for (int i = 0; i < 7; i++)
		syscall(SYS_openat, AT_FDCWD, "/no/such/file", O_RDONLY);
	for (int i = 0; i < 3; i++)
		syscall(SYS_openat, -5, "relative", O_RDONLY);
	syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC);
	return 0;
}
"""

# argv[1] calls, as user argv[2] if there is one.
MANY_GETPPIDS = """
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	if (argc > 2)
		syscall(SYS_setuid, atoi(argv[2]));
	for (int i = argc > 1 ? atoi(argv[1]) : 0; i > 0; i--)
		syscall(SYS_getppid);
	return 0;
}
"""

TIMERS = """
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int main(void)
{
	for (int i = 0; i < 4; i++) {
		struct sigevent event = {.sigev_notify = SIGEV_NONE};
		struct itimerspec time = {};
		int timer;

		syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &timer);
		syscall(SYS_timer_settime, timer, 0, &time, 0);
		syscall(SYS_timer_gettime, timer, &time);
		syscall(SYS_timer_delete, timer);
	}
	return 0;
}
"""

# The same calls in every run, whoever watches: static, so that no loader searches for anything.
MIXED = """
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
	char byte;
	struct stat stat;

	for (int i = 0; i < 200; i++) {
		int fd = open("/dev/zero", O_RDONLY);

		(void)!read(fd, &byte, 1);
		fstat(fd, &stat);
		lseek(fd, 0, SEEK_SET);
		close(fd);
		if (i % 20 == 0) {
			if (!fork()) {
				for (int j = 0; j < 30; j++)
					syscall(SYS_getppid);
				_exit(0);
			}
			wait(0);
		}
		syscall(SYS_getpgid, 0);
		open("/no/such/file", O_RDONLY);
	}
	return 0;
}
"""

# Two processes of one pid, one after the other: 3 and 5 getppids.
REUSED_PID = """
#define _GNU_SOURCE
#include <linux/sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
	pid_t pid = 0;

	for (int calls = 3; calls <= 5; calls += 2) {
		struct clone_args args = {.exit_signal = SIGCHLD};

		if (pid) {
			args.set_tid = (unsigned long)&pid;
			args.set_tid_size = 1;
		}
		pid = syscall(SYS_clone3, &args, sizeof(args));
		if (pid < 0)
			return 1;
		if (!pid) {
			for (int i = 0; i < calls; i++)
				syscall(SYS_getppid);
			_exit(0);
		}
		waitpid(pid, 0, 0);
	}
	return 0;
}
"""

# A process after the other, born and ended on CPU 0, with time for its kernel stack to go to the next. The i-th calls
# getppid i % 7 times on CPU 1, which is kept busy for a second, so that few others call there meanwhile.
MANY_PROCESSES = """
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void go(int cpu)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
}

int main(int argc, char **argv)
{
	int processes = argc > 1 ? atoi(argv[1]) : 0;
	pid_t busy = fork();

	if (!busy) {
		go(1);
		for (;;)
			;
	}
	setpriority(PRIO_PROCESS, 0, -20);
	go(0);
	for (int i = 0; i < processes; i++) {
		pid_t pid = fork();

		if (!pid) {
			go(1);
			for (int call = i % 7; call > 0; call--)
				syscall(SYS_getppid);
			go(0);
			_exit(0);
		}
		waitpid(pid, 0, 0);
		usleep(20000);
	}
	kill(busy, SIGKILL);
	waitpid(busy, 0, 0);
	return 0;
}
"""

# argv[1] processes, one after the other, of user argv[2] if there is one; the i-th calls getppid i % 7 + 1 times.
SHORT_PROCESSES = """
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	for (int i = 0; i < atoi(argv[1]); i++) {
		pid_t pid = fork();

		if (!pid) {
			if (argc > 2)
				syscall(SYS_setuid, atoi(argv[2]));
			for (int call = i % 7; call >= 0; call--)
				syscall(SYS_getppid);
			_exit(0);
		}
		waitpid(pid, 0, 0);
	}
	return 0;
}
"""

# Its first thread ends first. The other one calls getppid 3 times, waits for a byte, and executes the program anew.
# That calls 5 times and waits, starts a thread that calls 7 times, and waits.
OUTLIVES_ITS_LEADER = """
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static char *self;

static void call(int times)
{
	char byte;

	while (times--)
		syscall(SYS_getppid);
	(void)!write(1, "x", 1);
	(void)!read(0, &byte, 1);
}

static void *other(void *unused)
{
	for (int i = 0; i < 7; i++)
		syscall(SYS_getppid);
	return unused;
}

static void *survive(void *unused)
{
	/* By now the first thread has ended. */
	usleep(100000);
	call(3);
	execl(self, self, "anew", NULL);
	return unused;
}

int main(int argc, char **argv)
{
	pthread_t thread;

	self = argv[0];
	if (argc > 1) {
		call(5);
		pthread_create(&thread, 0, other, 0);
		pthread_join(thread, 0);
		call(0);
		return 0;
	}
	pthread_create(&thread, 0, survive, 0);
	syscall(SYS_exit, 0);
}
"""

# One call after the other that computes for seconds and leaves its CPU only for others.
SPINS = """
#define _GNU_SOURCE
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

int main(void)
{
	size_t piece = 2 << 20, pieces = 512;
	int fd = memfd_create("bytes", 0);
	char *at = mmap(0, piece * pieces, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	(void)!ftruncate(fd, piece);
	for (int i = 0; i < pieces; i++)
		mmap(at + i * piece, piece, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
	setpriority(PRIO_PROCESS, 0, -20);
	for (;;)
		(void)!getrandom(at, piece * pieces, 0);
}
"""

# Processes that share one CPU make getppid calls: CALLS of each of PROCESSES.
CROWD = r"""
#define _GNU_SOURCE
#include <sched.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    int processes = atoi(argv[1]), calls = atoi(argv[2]);
    cpu_set_t one;

    CPU_ZERO(&one);
    CPU_SET(0, &one);
    sched_setaffinity(0, sizeof one, &one);
    for (int i = 0; i < processes; i++)
        if (fork() == 0) {
            for (int j = 0; j < calls; j++)
                syscall(SYS_getppid);
            _exit(0);
        }
    while (wait(NULL) > 0)
        ;
    return 0;
}
"""

# newfstatat("") of every length of a path that matters, and of addresses that nothing is mapped at.
PATHS = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(void)
{
    static const int lengths[] = {0, 1, 254, 255, 256, 257, 4095, 5000};
    static char path[8192];
    struct stat about;
    for (unsigned i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        memset(path, 'p', sizeof path);
        path[lengths[i]] = 0;
        syscall(SYS_newfstatat, 0, path, &about, AT_EMPTY_PATH);
    }
    syscall(SYS_newfstatat, 0, NULL, &about, AT_EMPTY_PATH);
    syscall(SYS_newfstatat, 0, (char *)0x1000, &about, AT_EMPTY_PATH);
    memset(path, 'p', sizeof path);
    path[300] = 0;
    syscall(SYS_renameat, AT_FDCWD, "", AT_FDCWD, path);
    syscall(SYS_renameat, AT_FDCWD, path, AT_FDCWD, "");
    return 0;
}
"""

# Denies itself mkdir (EPERM), rmdir (a success that is none), getpgid (SIGSYS) and i386's mkdir (EACCES), then makes
# each of them argv[1] times, from two threads that go on and off their CPUs. With argv[2] it says "ready" and waits for
# a byte first.
DENIED = r"""
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int times;

static void trapped(int number) { (void)number; }

static void *make_calls(void *unused)
{
	struct timespec time = {.tv_nsec = 1000};
	char path[] = "/nowhere"; /* on the stack: nobody else touches it, so that it must be there already */

	for (int i = 0; i < times; i++) {
		long ret;

		syscall(SYS_mkdir, path, 0700);
		syscall(SYS_rmdir, path);
		syscall(SYS_getpgid, 0);
		asm volatile("int $0x80" : "=a"(ret) : "a"(39), "b"(0), "c"(0) : "memory"); /* i386 mkdir */
		syscall(SYS_getppid);
		if (i % 10 == 0)
			nanosleep(&time, 0);
	}
	return unused;
}

int main(int argc, char **argv)
{
#define NR offsetof(struct seccomp_data, nr)
#define ABI offsetof(struct seccomp_data, arch)
#define LOAD(at) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, at)
#define ON(value, answer) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1), BPF_STMT(BPF_RET | BPF_K, answer)
	struct sock_filter filter[] = {
		LOAD(ABI),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_I386, 0, 4),
		LOAD(NR),
		ON(39, SECCOMP_RET_ERRNO | 13),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		LOAD(NR),
		ON(SYS_mkdir, SECCOMP_RET_ERRNO | 1),
		ON(SYS_rmdir, SECCOMP_RET_ERRNO | 0),
		ON(SYS_getpgid, SECCOMP_RET_TRAP),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = sizeof filter / sizeof *filter, .filter = filter};
	pthread_t thread;
	char byte;

	times = atoi(argv[1]);
	signal(SIGSYS, trapped);
	if (argc > 2) {
		(void)!write(1, "ready", 5);
		(void)!read(0, &byte, 1);
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		return 1;
	pthread_create(&thread, 0, make_calls, 0);
	make_calls(0);
	pthread_join(thread, 0);
	return 0;
}
"""

# A tracer takes its child's mkdir calls away. A seccomp filter stops the child at each (SECCOMP_RET_TRACE); the tracer
# sets their number to -1 and their result to EPERM. Prints how many there were.
SKIPPED_BY_TRACER = r"""
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mkdir, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = sizeof filter / sizeof *filter, .filter = filter};
	struct user_regs_struct regs;
	int status, stops = 0;
	pid_t pid = fork();

	if (!pid) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
			return 1;
		for (int i = atoi(argv[1]); i; i--)
			if (syscall(SYS_mkdir, "/nowhere", 0700) != -1 || errno != EPERM)
				return 2;
		return 0;
	}
	waitpid(pid, &status, 0);
	ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESECCOMP);
	ptrace(PTRACE_CONT, pid, 0, 0);
	while (waitpid(pid, &status, 0) == pid && WIFSTOPPED(status)) {
		if (status >> 8 == (SIGTRAP | PTRACE_EVENT_SECCOMP << 8)) {
			ptrace(PTRACE_GETREGS, pid, 0, &regs);
			regs.orig_rax = -1;
			regs.rax = -EPERM;
			ptrace(PTRACE_SETREGS, pid, 0, &regs);
			stops++;
		}
		ptrace(PTRACE_CONT, pid, 0, 0);
	}
	printf("%d\n", stops);
	return argc != 2 || status;
}
"""

# Its child's exit_group is held up by a tracer: a call that leaves its CPU and never returns. Prints the child's pid.
HELD_EXIT = """
#include <signal.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
	pid_t pid = fork();

	if (!pid) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		_exit(0);
	}
	waitpid(pid, 0, 0);
	ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACEEXIT);
	ptrace(PTRACE_CONT, pid, 0, 0);
	waitpid(pid, 0, 0);
	usleep(10000);
	ptrace(PTRACE_CONT, pid, 0, 0);
	waitpid(pid, 0, 0);
	printf("%d\\n", pid);
	return 0;
}
"""

# Calls getppid once, and 200 times under another name.
RENAMED = """
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
	syscall(SYS_getppid);
	prctl(PR_SET_NAME, "renamed");
	for (int i = 0; i < 200; i++)
		syscall(SYS_getppid);
	return 0;
}
"""

# i386's mmap2, all of whose six arguments differ: EBADF.
SIX_ARGUMENTS = """
int main(void)
{
	long ret;

	asm volatile("push %%rbp\\n mov $7, %%ebp\\n int $0x80\\n pop %%rbp" : "=a"(ret) : "a"(192),
			"b"(0x1000), "c"(0x2000), "d"(1), "S"(2), "D"(5) : "memory");
	return ret != -9;
}
"""

# Calls 1100 numbers that are no system call's.
UNKNOWN_NUMBERS = """
#include <unistd.h>

int main(void)
{
	for (int nr = 2000; nr < 3100; nr++)
		syscall(nr);
	return 0;
}
"""

# Opens a path that no page of its own holds before the kernel asks for it.
UNTOUCHED_PATH = """
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
	int fd = memfd_create("path", 0);

	(void)!write(fd, "/untouched", 11);
	syscall(SYS_openat, AT_FDCWD, mmap(0, 4096, PROT_READ, MAP_SHARED, fd, 0), O_RDONLY);
	return 0;
}
"""

# Ten times moves to an address of the kernel, which is a negative number, and to what is no place at all.
SEEKS_HIGH = """
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
	int memory = open("/proc/self/mem", O_RDONLY);

	for (int i = 0; i < 10; i++) {
		if (syscall(SYS_lseek, memory, 0xffffffff80000000UL, SEEK_SET) != (long)0xffffffff80000000UL)
			return 1;
		syscall(SYS_lseek, memory, 0, 99);
	}
	return 0;
}
"""

# Without arguments it says where its initialised data end. As `overlays PLACE FILE`, built to lie elsewhere, it starts
# FILE by a path at PLACE that nobody has touched. The kernel clears the page behind initialised data, so that it is
# there in the new program, with other contents.
OVERLAYS = """
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

extern char edata[];

int main(int argc, char **argv)
{
	if (argc == 1) {
		printf("%lu\\n", (unsigned long)edata - 1);
		return 0;
	}
	char *place = (char *)strtoul(argv[1], 0, 10), *page = (char *)((unsigned long)place & ~4095UL);
	char *args[] = {"overlays", 0};
	int fd = memfd_create("path", 0);

	(void)!pwrite(fd, argv[2], strlen(argv[2]) + 1, place - page);
	if (ftruncate(fd, 8192) || mmap(page, 8192, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0) != page)
		return 1;
	syscall(SYS_execve, place, args, args + 1);
	return 1;
}
"""
