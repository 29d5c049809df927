struct event { u64 pid; };
BPF_PERF_OUTPUT(output);

int helper(struct event *e, void *ctx, int a, int b, int c, int d, int f, int g) {
	return e->pid + a + b;
}

int hello(void *ctx) {
	struct event e = {};
	return helper(&e, ctx, 1, 2, 3, 4, 5, 6);
}
