struct event {
	u64 pid;
};
BPF_RINGBUF_OUTPUT(ring, 8);

int hello(void *ctx) {
	struct event *e = ring.ringbuf_reserve(sizeof(*e));
	if (!e)
		return 0;
	e->pid = bpf_get_current_pid_tgid() >> 32;
	if (e->pid == 1)
		return 0;
	ring.ringbuf_submit(e, 0);
	return 0;
}
