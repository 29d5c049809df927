"""Programs in C that call execve and execveat in every way there is, and count how that went."""

from __future__ import annotations

import struct

# A 32-bit program without a library. Where argv[1] is one of the letters of HARD it does with argv[2] what that says,
# and ends with RETURNED if the call comes back; else it ends with 0.
HARD_32 = """
#define AT_FDCWD -100
#define AT_EMPTY_PATH 0x1000
#define RETURNED 7

static int call(int nr, int a, int b, int c, int d, int e)
{
	int ret;

	asm volatile("int $0x80" : "=a"(ret) : "a"(nr), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e) : "memory");
	return ret;
}

static void end(int status)
{
	for (;;)
		call(1, status, 0, 0, 0, 0);
}

__attribute__((used)) static void run(int *stack)
{
	char **argv = (char **)(stack + 1);
	char *path = argv[2], *args[] = {argv[2], "thirty-two", "", 0}, *env[] = {0};

	if (stack[0] < 3 || argv[1][1])
		end(0);
	switch (argv[1][0]) {
	case 'e':
		call(11, (int)path, (int)args, (int)env, 0, 0);
		break;
	case 'f':
		call(11, 8, (int)args, (int)env, 0, 0);
		break;
	case 'a':
		call(358, AT_FDCWD, (int)path, (int)args, (int)env, 0);
		break;
	case 'd':
		call(358, call(5, (int)path, 0, 0, 0, 0), (int)"", (int)args, (int)env, AT_EMPTY_PATH);
		break;
	case 'b':
		call(358, 999, (int)"name", (int)args, (int)env, 0);
		break;
	}
	end(RETURNED);
}

asm(".globl _start\\n_start: mov %esp, %eax\\npush %eax\\npush %eax\\ncall enter\\n");
__attribute__((used, regparm(0))) void enter(int *stack) { run(stack); }
"""
FLAGS_32 = (
    *("-m32", "-nostdlib", "-static", "-ffreestanding", "-fno-pie", "-no-pie", "-fno-stack-protector"),
    *("-fno-asynchronous-unwind-tables", "-Wl,--build-id=none"),
)

# Run as `hard run FOLDER`: it does everything there is to do with the programs in FOLDER, and prints for each ABI and
# call how often it was made, how often it failed, and how often seccomp denied it besides. Else it ends with 0. Static
# and not position-independent: what is in its data has an address that 32-bit calls can take.
HARD = """
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define RETURNED 7
#define I386_EXECVE 11
#define I386_EXECVEAT 358

enum { MADE, FAILED, DENIED };
static int (*tally)[2][3]; /* by 32-bit or not, execveat or not; shared with all children */
static char path[512], word[] = "sixty-four", nothing[1], name[] = "name", folder[256];
static char *args[4] = {path, word, nothing, 0}, *env[1];
static unsigned args_32[4], env_32[1];

static void count(int compat, int at, int what)
{
	__sync_fetch_and_add(&tally[compat][at][what], 1);
}

static long make(int compat, int at, int dirfd, char *file, int flags)
{
	if (!compat)
		return at ? syscall(SYS_execveat, dirfd, file, args, env, flags) : syscall(SYS_execve, file, args, env);
	long ret;

	for (int i = 0; i < 3; i++)
		args_32[i] = (unsigned)(unsigned long)args[i];
	if (at)
		asm volatile("int $0x80" : "=a"(ret) : "a"(I386_EXECVEAT), "b"((long)dirfd), "c"(file), "d"(args_32),
				"S"(env_32), "D"((long)flags) : "memory", "r8", "r9", "r10", "r11");
	else
		asm volatile("int $0x80" : "=a"(ret) : "a"(I386_EXECVE), "b"(file), "c"(args_32), "d"(env_32)
				: "memory", "r8", "r9", "r10", "r11");
	return ret;
}

static int at_of(char letter)
{
	return letter != 'e' && letter != 'f';
}

/*
 * Call as *letter* says, and count that: e execve, f execve of a bad pointer, a execveat of a path, d of an open file,
 * b of a name below no file.
 */
static void call(int compat, char letter, int failure)
{
	int at = at_of(letter), dirfd = AT_FDCWD, flags = 0;
	char *file = path;

	if (letter == 'f')
		file = (char *)8;
	if (letter == 'd') {
		dirfd = open(path, O_RDONLY);
		file = nothing;
		flags = AT_EMPTY_PATH;
	}
	if (letter == 'b') {
		dirfd = 999;
		file = name;
	}
	if (failure == DENIED)
		count(compat, at, DENIED);
	else
		count(compat, at, MADE);
	make(compat, at, dirfd, file, flags);
	if (failure != DENIED)
		count(compat, at, FAILED);
}

static void target(const char *what)
{
	if (what[0] == '/')
		strcpy(path, what);
	else
		snprintf(path, sizeof(path), "%s/%s", folder, what);
}

/* An execve that fails late does not come back: the kernel kills the caller. */
static void reap(pid_t pid, int compat, int at)
{
	int status;

	waitpid(pid, &status, 0);
	if (WIFSIGNALED(status) || (WIFEXITED(status) && WEXITSTATUS(status) == RETURNED))
		count(compat, at, FAILED);
}

static void by_64(int compat, char letter, const char *what)
{
	pid_t pid = fork();

	if (!pid) {
		target(what);
		call(compat, letter, FAILED);
		_exit(0);
	}
	reap(pid, compat, at_of(letter));
}

static void by_32(char letter, const char *what)
{
	count(1, at_of(letter), MADE);
	pid_t pid = fork();

	if (!pid) {
		char mode[2] = {letter};
		char program[512];

		target(what);
		snprintf(program, sizeof(program), "%s/hard32", folder);
		count(0, 0, MADE);
		execl(program, "hard32", mode, path, (char *)0);
		_exit(1);
	}
	reap(pid, 1, at_of(letter));
}

static int thread_compat;

static void *in_thread(void *unused)
{
	call(thread_compat, 'e', FAILED);
	_exit(0);
	return unused;
}

static void by_thread(int compat, const char *what)
{
	pid_t pid = fork();

	if (!pid) {
		pthread_t thread;

		target(what);
		thread_compat = compat;
		pthread_create(&thread, 0, in_thread, 0);
		for (;;)
			pause();
	}
	reap(pid, compat, 0);
}

/* Both ABIs' calls with EPERM. */
static void denied(int compat, char letter)
{
	pid_t pid = fork();

	if (!pid) {
		struct sock_filter code[] = {
			BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
			BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_execve, 4, 0),
			BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_execveat, 3, 0),
			BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, I386_EXECVE, 2, 0),
			BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, I386_EXECVEAT, 1, 0),
			BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
			BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1),
		};
		struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};

		target("hard32");
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
		call(compat, letter, DENIED);
		_exit(0);
	}
	reap(pid, compat, at_of(letter));
}

/* Many that live for a moment, a few at a time. */
static void bomb(void)
{
	int alive = 0;

	for (int i = 0; i < 48; i++) {
		if (alive == 4) {
			wait(0);
			alive--;
		}
		pid_t pid = fork();

		if (!pid) {
			target(i % 3 ? i % 3 == 1 ? "hard" : "hard32" : "missing");
			call(i / 3 % 2, i / 6 % 2 ? 'a' : 'e', FAILED);
			_exit(0);
		}
		alive++;
	}
	while (wait(0) > 0)
		;
}

int main(int argc, char **argv)
{
	static const char *targets[] = {"hard", "hard32", "script", "missing", "folder", "text", "late64", "late32",
					"/bin/true"};

	if (argc < 3 || strcmp(argv[1], "run"))
		return 0;
	tally = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	strcpy(folder, argv[2]);
	count(0, 0, MADE); /* this one */
	for (unsigned i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		for (const char *letter = "ead"; *letter; letter++) {
			by_64(0, *letter, targets[i]);
			by_64(1, *letter, targets[i]);
			by_32(*letter, targets[i]);
		}
		by_thread(0, targets[i]);
		by_thread(1, targets[i]);
	}
	for (const char *letter = "fb"; *letter; letter++) {
		by_64(0, *letter, "hard");
		by_64(1, *letter, "hard");
		by_32(*letter, "hard");
	}
	bomb();
	for (int compat = 0; compat < 2; compat++) {
		denied(compat, 'e');
		denied(compat, 'a');
	}
	by_64(1, 'e', "hard32"); /* the last */
	for (int compat = 0; compat < 2; compat++)
		for (int at = 0; at < 2; at++)
			printf("%s:%s %d %d %d\\n", compat ? "i386" : "x86_64", at ? "execveat" : "execve",
				tally[compat][at][MADE], tally[compat][at][FAILED], tally[compat][at][DENIED]);
	return 0;
}
"""

# Asks for programs that seccomp does not let it start: argv[1] times by each ABI it is trapped (SIGSYS), as many
# children are killed.
TRAPPED = r"""
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define I386_EXECVE 11

static void trapped(int number) { (void)number; }

static int deny(int nr, unsigned answer)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, answer),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

int main(int argc, char **argv)
{
	int times = atoi(argv[argc - 1]), status;
	long ret;

	signal(SIGSYS, trapped);
	for (int i = 0; i < times; i++) {
		if (!fork()) {
			signal(SIGSYS, SIG_DFL);
			if (deny(SYS_execveat, SECCOMP_RET_KILL_PROCESS))
				_exit(1);
			syscall(SYS_execveat, -1, "", 0, 0, 0);
			_exit(2);
		}
		wait(&status);
		if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
			return 3;
	}
	if (deny(SYS_execve, SECCOMP_RET_TRAP) || deny(I386_EXECVE, SECCOMP_RET_TRAP))
		return 4;
	for (int i = 0; i < times; i++) {
		syscall(SYS_execve, "/nowhere", 0, 0);
		asm volatile("int $0x80" : "=a"(ret) : "a"(I386_EXECVE), "b"(0), "c"(0), "d"(0) : "memory");
	}
	return 0;
}
"""

# Asks, argv[1] times by each ABI, for a program that may be executed and for one that does not exist, and starts
# neither; then it starts one. Static and not position-independent, as HARD is.
ASKS = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define AT_EXECVE_CHECK 0x10000
#define I386_EXECVEAT 358

static char there[] = "/bin/true", nowhere[] = "/nowhere/at/all", *args[] = {there, 0}, *env[1];
static unsigned args_32[2], env_32[1];

int main(int argc, char **argv)
{
	static char *paths[] = {there, nowhere};
	long ret;

	args_32[0] = (unsigned)(unsigned long)there;
	for (int i = atoi(argv[argc - 1]); i; i--)
		for (int j = 0; j < 2; j++) {
			syscall(SYS_execveat, AT_FDCWD, paths[j], args, env, AT_EXECVE_CHECK);
			asm volatile("int $0x80" : "=a"(ret) : "a"(I386_EXECVEAT), "b"((long)AT_FDCWD), "c"(paths[j]),
					"d"(args_32), "S"(env_32), "D"((long)AT_EXECVE_CHECK)
					: "memory", "r8", "r9", "r10", "r11");
		}
	execve(there, args, env);
	return 1;
}
"""

# Run as `untouched FILE`, which begins with a path; an argument is at 1024. It starts that program without having read
# either, so that neither is resident when the call begins, as the strings of a program are not in a child of it.
UNTOUCHED = """
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	char *text = mmap(0, 4096, PROT_READ, MAP_PRIVATE, open(argv[1], O_RDONLY), 0);
	char *args[] = {text, text + 1024, 0}, *env[] = {0};

	execve(text, args, env);
	return 1;
}
"""


# Calls of execve whose arguments nobody had in memory: the file is missing; two that point nowhere; and one that a
# seccomp filter denies.
UNREAD = """
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_execve, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = sizeof filter / sizeof *filter, .filter = filter};
	int file = open(argv[1], O_RDONLY);
#define UNTOUCHED (char *)mmap(0, 4096, PROT_READ, MAP_PRIVATE, file, 0)
	char *args[] = {UNTOUCHED, 0}, *others[] = {UNTOUCHED, 0}, *denied[] = {UNTOUCHED, 0}, *env[] = {0};

	execve("/nowhere/at/all", args, env);
	execve((char *)8, others, env);
	execve(argv[0], (char **)8, env);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		return 1;
	execve(denied[0], denied, env);
	return 0;
}
"""


def late_failure(bits: int) -> bytes:
    """Return a program that fails late: its one segment has more bytes than room (fs/binfmt_elf.c)."""
    ident = b"\x7fELF" + bytes([1 if bits == 32 else 2, 1, 1]) + bytes(9)
    base, size = 0x10000, 4096
    if bits == 32:
        head = struct.pack("<HHIIIIIHHHHHH", 2, 3, 1, base, 52, 0, 0, 52, 32, 1, 0, 0, 0)
        segment = struct.pack("<IIIIIIII", 1, 0, base, base, size, 16, 5, 4096)
    else:
        head = struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, base, 64, 0, 0, 64, 56, 1, 0, 0, 0)
        segment = struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, size, 16, 4096)
    return (ident + head + segment).ljust(size, b"\0")
