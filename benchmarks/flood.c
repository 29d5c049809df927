/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * flood KIND RATE COUNT SECONDS [ARGUMENT...]: do one thing RATE times a second (0: as often as it goes), until it was
 * done COUNT times (0: no bound) or SECONDS are over; print how often it was done, and the seconds that it took.
 *
 *   exec PROGRAM [ARGUMENT...]  start a program, two at a time
 *   getppid                     make a system call
 *   rename                      give this process another name, with bytes that are no text among them
 *   printk FD                   run the BPF program FD, which prints a line
 *   cgroups FOLDER PROGRAM      make a cgroup in FOLDER, its name full of escapes, and start a program in it
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LOOKS_A_SECOND 1000

extern char **environ;

static char **arguments;
static int flying;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

static void exec_one(long number)
{
	pid_t pid;

	errno = posix_spawn(&pid, arguments[0], NULL, NULL, arguments, environ);
	if (errno)
		die(arguments[0]);
	if (++flying == 2) {
		wait(NULL);
		flying--;
	}
}

static void getppid_one(long number)
{
	syscall(SYS_getppid);
}

static void rename_one(long number)
{
	char name[16];

	snprintf(name, sizeof(name), "\n\x1b]0;%ld\a\xff", number);
	if (prctl(PR_SET_NAME, name))
		die("prctl");
}

static void printk_one(long number)
{
	union bpf_attr attr = {.test = {.prog_fd = atoi(arguments[0])}};

	if (syscall(SYS_bpf, BPF_PROG_TEST_RUN, &attr, sizeof(attr)))
		die("the program that prints");
}

static void cgroup_one(long number)
{
	char path[512], file[600];
	pid_t pid;

	snprintf(path, sizeof(path), "%s/%ld\x1b]0;A\a[red]\xff", arguments[0], number);
	if (mkdir(path, 0755))
		die(path);
	pid = fork();
	if (!pid) {
		int fd;

		snprintf(file, sizeof(file), "%s/cgroup.procs", path);
		fd = open(file, O_WRONLY);
		if (fd < 0 || write(fd, "0", 1) != 1)
			_exit(1);
		close(fd);
		execve(arguments[1], arguments + 1, environ);
		_exit(1);
	}
	int status;

	if (waitpid(pid, &status, 0) != pid || status)
		die("the program in a cgroup");
}

static const struct {
	const char *kind;
	void (*one)(long number);
} kinds[] = {
	{"exec", exec_one},
	{"getppid", getppid_one},
	{"rename", rename_one},
	{"printk", printk_one},
	{"cgroups", cgroup_one},
};

int main(int argc, char **argv)
{
	void (*one)(long number) = NULL;

	for (int i = 0; argc > 4 && i < (int)(sizeof(kinds) / sizeof(*kinds)); i++)
		if (!strcmp(argv[1], kinds[i].kind))
			one = kinds[i].one;
	if (!one) {
		fprintf(stderr, "flood KIND RATE COUNT SECONDS [ARGUMENT...]\n");
		return 2;
	}
	double rate = atof(argv[2]), most_s = atof(argv[4]), begin_s = now(), took_s = 0;
	long most = atol(argv[3]), done = 0;

	arguments = argv + 5;
	while ((!most || done < most) && (took_s = now() - begin_s) < most_s) {
		/* A look at the clock costs as much as a cheap system call. */
		long due = rate ? took_s * rate : done + 64;

		if (most && due > most)
			due = most;
		for (; done < due && (rate || now() - begin_s < most_s); done++)
			one(done);
		if (rate)
			usleep(1000000 / LOOKS_A_SECOND);
	}
	while (wait(NULL) > 0)
		;
	printf("%ld %f\n", done, now() - begin_s);
	return 0;
}
