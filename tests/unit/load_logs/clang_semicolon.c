int hello(void *ctx) {
	u64 uid = bpf_get_current_uid_gid()
	return uid == 0;
}
