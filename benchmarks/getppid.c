/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one call costs: prints the nanoseconds of each of ROUNDS batches of CALLS, one a line.
 * The call is getppid; with a third argument it is close(-1), which fails.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 40, calls = argc > 2 ? atoi(argv[2]) : 20000;
	long nr = argc > 3 ? SYS_close : SYS_getppid;

	for (int round = 0; round < rounds; round++) {
		struct timespec begin, end;

		clock_gettime(CLOCK_MONOTONIC, &begin);
		for (int call = 0; call < calls; call++)
			syscall(nr, -1);
		clock_gettime(CLOCK_MONOTONIC, &end);
		printf("%.2f\n",
		       ((end.tv_sec - begin.tv_sec) * 1e9 + (end.tv_nsec - begin.tv_nsec)) / calls);
	}
	return 0;
}
