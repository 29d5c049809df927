/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * manyusers FIRST COUNT FAIL_EVERY: COUNT users, from uid FIRST on, start a program each, one after the other; every
 * FAIL_EVERY-th of them tries one that does not exist. Without arguments: that program, which does nothing.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	if (argc < 4)
		return 0;
	unsigned first = strtoul(argv[1], NULL, 10), count = strtoul(argv[2], NULL, 10);
	unsigned fail_every = strtoul(argv[3], NULL, 10);

	for (unsigned i = 0; i < count; i++) {
		pid_t pid = fork();

		if (pid < 0) {
			perror("fork");
			return 1;
		}
		if (!pid) {
			char *none[] = {NULL};
			char *program[] = {argv[0], NULL};

			if (setresuid(first + i, first + i, first + i)) {
				perror("setresuid");
				_exit(1);
			}
			if (i % fail_every == fail_every - 1) {
				execve("/nonexistent/program", program, none);
				_exit(0);
			}
			execve(argv[0], program, none);
			perror(argv[0]);
			_exit(1);
		}
		int status;

		if (waitpid(pid, &status, 0) < 0 || status) {
			fprintf(stderr, "uid %u: status %d\n", first + i, status);
			return 1;
		}
	}
	return 0;
}
