struct data_t {
	u32 pid;
};
BPF_HASH(table, u32, struct data_t);

int hello(void *ctx) {
	u32 key = 1;
	struct data_t *found = table.lookup(&key);
	if (found)
		found.pid = 1;
	return 0;
}
