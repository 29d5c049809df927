int hello(void *ctx) {
	int uid = bpf_get_current_uid_gid();
	if (uid)
		goto out;
	return 0;
}
