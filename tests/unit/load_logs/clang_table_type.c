BPF_TABLE("hashmap", u64, u64, counter_table, 16);

int hello(void *ctx) {
	return 0;
}
