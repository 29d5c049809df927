BPF_HASH(counter_table, u64, u64);

int hello(void *ctx) {
	char *words[] = {"one", "two", "three"};
	bpf_trace_printk("%s", words[bpf_get_prandom_u32() & 1]);
	return 0;
}
