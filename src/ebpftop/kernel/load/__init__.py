"""The workbench's kernel side: compile a user's C file, load it, keep its maps over reloads, attach it, read it."""
