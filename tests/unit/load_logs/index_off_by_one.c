struct slots {
	u64 count[8];
};
BPF_ARRAY(table, struct slots, 1);

int hello(void *ctx) {
	int zero = 0;
	u32 cpu = bpf_get_prandom_u32();
	struct slots *s = table.lookup(&zero);
	if (!s || cpu > 8)
		return 0;
	s->count[cpu]++;
	return 0;
}
