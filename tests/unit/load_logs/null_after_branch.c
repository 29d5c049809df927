BPF_HASH(counter_table, u64, u64);

int hello(void *ctx) {
	u64 uid = bpf_get_current_uid_gid(), zero = 0;
	u64 *n = counter_table.lookup(&uid);
	if (!n) {
		counter_table.update(&uid, &zero);
		n = counter_table.lookup(&uid);
	}
	*n += 1;
	return 0;
}
