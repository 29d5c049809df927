BPF_HASH(counter_table, u64, u64);

int hello(void *ctx) {
	char command[16];
	u64 sum = 0;
	bpf_get_current_comm(&command, sizeof(command));
	int length = bpf_get_prandom_u32();
	for (int i = 0; i < length; i++)
		sum += command[i];
	counter_table.increment(sum);
	return 0;
}
