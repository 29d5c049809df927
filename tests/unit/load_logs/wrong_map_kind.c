BPF_HASH(counter_table, u64, u64);

int hello(void *ctx) {
	counter_table.call(ctx, 3);
	return 0;
}
