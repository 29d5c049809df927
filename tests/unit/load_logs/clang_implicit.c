int hello(void *ctx) {
	u64 uid = bpf_get_current_uid();
	return uid == 0;
}
