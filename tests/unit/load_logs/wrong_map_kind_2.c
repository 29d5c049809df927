BPF_PROG_ARRAY(calls, 4);

int hello(void *ctx) {
	int key = 1;
	return calls.lookup(&key) != 0;
}
