BPF_HASH(counter_table, u64, u64);

int hello(void *ctx) {
	char command[16];
	bpf_get_current_comm(&command, sizeof(command));
	u32 i = bpf_get_prandom_u32();
	u64 letter = command[i & 31];
	counter_table.increment(letter);
	return 0;
}
