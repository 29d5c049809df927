/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a switch between two threads costs: two processes pass a byte back and forth through pipes. Prints the nanoseconds
 * of one pass, a wake-up and a switch, for each of ROUNDS batches of PASSES, one a line.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void pass(int from, int to)
{
	char byte;

	if (read(from, &byte, 1) != 1 || write(to, &byte, 1) != 1)
		_exit(1);
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 40, passes = argc > 2 ? atoi(argv[2]) : 4000;
	int there[2], back[2];

	if (pipe(there) || pipe(back))
		return 1;
	if (!fork()) {
		close(there[1]);
		for (;;)
			pass(there[0], back[1]);
	}
	for (int round = 0; round < rounds; round++) {
		struct timespec begin, end;

		clock_gettime(CLOCK_MONOTONIC, &begin);
		for (int i = 0; i < passes / 2; i++) {
			if (write(there[1], "", 1) != 1)
				return 1;
			char byte;

			if (read(back[0], &byte, 1) != 1)
				return 1;
		}
		clock_gettime(CLOCK_MONOTONIC, &end);
		printf("%.2f\n", ((end.tv_sec - begin.tv_sec) * 1e9 + (end.tv_nsec - begin.tv_nsec)) / passes);
	}
	close(there[1]);
	wait(NULL);
	return 0;
}
