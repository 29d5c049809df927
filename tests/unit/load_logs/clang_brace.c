int hello(void *ctx) {
	if (bpf_get_prandom_u32() == 1) {
		bpf_trace_printk("one");
	return 0;
}
