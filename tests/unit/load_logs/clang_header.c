#include <linux/nothing_here.h>

int hello(void *ctx) {
	return 0;
}
