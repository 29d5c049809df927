/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where a program runs: the walks to its places. Included by execs.c; struct places and what it holds: execs_places.h.
 */
/* It has no names of its own. */
INLINE void set_same(struct scratch *scratch, enum place_name name, u16 flags)
{
	set_path(scratch, name, NULL, 0);
	scratch->places.place[name].flags = flags;
}

/* The files behind fds 0 to 2. One that is open twice is walked once. */
INLINE void set_fds(struct scratch *scratch, char *task)
{
	char *files = load_pointer(task, OFF_TASK_FILES);
	char *file[3] = {};

	if (files)
		bpf_probe_read_kernel(file, sizeof(file),
				      read_pointer(read_pointer(files, OFF_FILES_FDT), OFF_FDTABLE_FD));
	set_file(scratch, PLACE_FD0, file[0]);
	if (file[1] && file[1] == file[0])
		set_same(scratch, PLACE_FD1, PLACE_AS_FD0);
	else
		set_file(scratch, PLACE_FD1, file[1]);
	if (file[2] && file[2] == file[0])
		set_same(scratch, PLACE_FD2, PLACE_AS_FD0);
	else if (file[2] && file[2] == file[1])
		set_same(scratch, PLACE_FD2, PLACE_AS_FD1);
	else
		set_file(scratch, PLACE_FD2, file[2]);
}

INLINE void fill_terminal(struct places *places, char *task)
{
	char *signal = load_pointer(task, OFF_TASK_SIGNAL);
	char *tty = load_pointer(signal, OFF_SIGNAL_TTY);

	places->sid = load_u32(load_pointer(signal, OFF_SIGNAL_PIDS + 8 * PIDTYPE_SID), OFF_PID_NUMBERS + OFF_UPID_NR);
	places->tty[0] = 0;
	if (tty)
		bpf_probe_read_kernel_str(places->tty, TTY_LEN, tty + OFF_TTY_NAME);
}

/* Append the names of all places, and return where they end. *exe_file* is the file that runs, NULL if none does.
 * *steps*: a constant. */
INLINE u64 append_places(struct scratch *scratch, u64 at, char *task, const char *exe_file, int steps)
{
	char *fs = load_pointer(task, OFF_TASK_FS);
	struct places *places = &scratch->places;
	struct walk *walk = &scratch->walk;

	fill_terminal(places, task);
	places->exe_inode = exe_file ? read_u64(read_pointer(exe_file, OFF_FILE_INODE), OFF_INODE_INO) : 0;
	set_file(scratch, PLACE_EXE, exe_file);
	set_path(scratch, PLACE_CWD, fs, OFF_FS_PWD);
	set_path(scratch, PLACE_ROOT, fs, OFF_FS_ROOT);
	set_fds(scratch, task);
	*walk = (struct walk){.at = at, .root = scratch->paths[PLACE_ROOT]};
#pragma nounroll
	for (int step = 0; step < steps;) {
		u64 i = walk->place;

		if (i >= PLACES)
			break;
		BOUND(i, PLACES_MASK);
		go_up(scratch, &places->place[i], &scratch->paths[i], is_zero(i ^ PLACE_ROOT));
		step++;
		LOOP_END();
	}
#pragma nounroll
	for (int i = 0; i < PLACES;) {
		if (i >= walk->place && places->place[i].flags & PLACE_KNOWN)
			places->place[i].flags |= PLACE_CUT;
		if (places->place[i].flags & PLACE_NAMELESS)
			fill_nameless(&places->place[i], scratch->paths[i].dentry);
		i++;
		LOOP_END();
	}
	return through_memory(scratch, walk->at);
}
