struct flags {
	u32 a : 3;
	u32 b : 5;
};
BPF_HASH(counter_table, u32, u64);

int hello(void *ctx) {
	struct flags f = {};
	counter_table.delete(&f.b);
	return 0;
}
