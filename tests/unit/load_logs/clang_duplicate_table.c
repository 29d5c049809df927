BPF_HASH(counter_table, u64, u64);
BPF_HASH(counter_table, u64, u64);

int hello(void *ctx) {
	return 0;
}
