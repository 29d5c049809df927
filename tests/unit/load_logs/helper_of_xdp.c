int hello(void *ctx) {
	bpf_redirect(1, 0);
	return 0;
}
