int hello(void *ctx) {
	char command[16];
	bpf_get_current_comm(&command, sizeof(command));
	if (strcmp(command, "bash") == 0)
		bpf_trace_printk("bash");
	return 0;
}
