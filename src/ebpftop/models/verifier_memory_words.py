"""The verifier's messages about memory and pointers, sizes and indices, in words; see verifier_words.py."""

from __future__ import annotations

from ebpftop.models.verifier_explanation import NUMBER, REGISTER, Explanation, explain

MEMORY: tuple[Explanation, ...] = (
    # ---- pointers that may be NULL ----
    explain(
        rf"{REGISTER} invalid mem access '(?:map_value_or_null|map_value_adj_or_null)'",
        "{it} may be NULL: there is no such key in the map. Test it before you use it.",
        "if (!{it}) return 0;",
        null_test=True,
    ),
    explain(
        rf"{REGISTER} invalid mem access '(?:alloc_|ringbuf_|rdonly_|rdwr_)?(?:mem|buf)_or_null'",
        "{it} may be NULL: the buffer is full. Test it before you use it.",
        "if (!{it}) return 0;",
        null_test=True,
    ),
    explain(
        rf"{REGISTER} invalid mem access '[a-z_]*or_null_?[a-z_]*'",
        "{it} may be NULL. Test it before you use it.",
        "if (!{it}) return 0;",
        null_test=True,
    ),
    explain(
        rf"{REGISTER} pointer arithmetic on (?P<kind>\w+_or_null\w*) prohibited|null-check it first",
        "{it} may be NULL, and you calculate with it before it is tested.",
        "test {it} first: if (!{it}) return 0;",
    ),
    explain(
        rf"{REGISTER} type=\w*_or_null\w* expected=|Possibly NULL pointer passed to",
        "{it} may be NULL, and {call} needs a pointer that is not. Test it first.",
        "if (!{it}) return 0;",
        null_test=True,
    ),
    # ---- what is not a pointer at all ----
    explain(
        rf"{REGISTER} invalid mem access '{NUMBER}'",
        "{it} is a number to the verifier, not a pointer that it knows: an address that was read from somewhere, or "
        "memory that "
        "was given back. The kernel's and a process's memory may not be read directly.",
        "copy what is there first: bpf_probe_read_kernel(&copy, sizeof(copy), address), of a process's memory "
        "bpf_probe_read_user(..), of text bpf_probe_read_user_str(..)",
    ),
    explain(
        rf"{REGISTER} invalid mem access '(?:ctx)'",
        "The context cannot be used this way.",
        "read a member of the context at its own offset, as ctx->args[0]",
    ),
    explain(
        rf"{REGISTER} invalid mem access 'map_ptr'",
        "{it} is the map itself, not one of its values.",
        "get a value with lookup(&key)",
    ),
    explain(
        rf"{REGISTER} invalid mem access '(?P<kind>\w+)'",
        "The memory that {it} points to ({kind}) may not be accessed this way.",
        "copy what you need with bpf_probe_read_kernel first",
    ),
    # ---- values that were never set ----
    explain(
        r"R0 !read_ok",
        "The program ends, or uses a result, and r0 was never set: a path of it has no return.",
        "return 0; at the end of every path",
    ),
    explain(
        rf"{REGISTER} !read_ok",
        "r{register} was never set on this path: a variable without a value, an argument that this program does not "
        "get, or a value that a function call destroyed (r1 to r5 do not outlive one).",
        "give the variable a value where it is declared: u64 x = 0;",
    ),
    explain(
        r"invalid indirect read from stack",
        "{call} reads bytes of the stack that were never written: a hole between two members of a structure, a member "
        "that was not set, or a size that is larger than the variable.",
        "set all of it at once: struct data_t data = {{}}; (or __builtin_memset(&data, 0, sizeof(data));)",
    ),
    explain(
        r"invalid (?:write to|unbounded variable-offset write to|variable-offset write to) stack R10 off=|"
        r"invalid stack off=-?\d+ size=",
        "This is beyond the stack, which has 512 bytes for all variables of a program.",
        "keep what is large in a map: BPF_PERCPU_ARRAY(scratch, struct data_t, 1);",
    ),
    explain(
        r"invalid (?:unbounded )?variable-offset write to stack R\d",
        "An index into a variable on the stack may lead out of it.",
        "bound the index right before it is used: if (i >= sizeof(buffer)) return 0; (or i & 15 for a buffer of 16)",
    ),
    explain(
        r"invalid (?:write to|indirect access to) stack R|"
        r"invalid stack type R\d+ off=-?\d+ access_size=\d+",
        "{call} would go beyond the variable on the stack that it is given.",
        "pass the size of that variable: sizeof(variable), and bound a size that is not constant: if (n > "
        "sizeof(buffer)) return 0;",
    ),
    explain(
        r"invalid (?:unbounded )?variable-offset (?:read from|indirect access to|read|indirect access) ?(?:stack)?|"
        r"variable stack "
        r"access|variable offset stack pointer cannot be passed",
        "An index into a variable on the stack may lead out of it.",
        "bound the index right before it is used: if (i >= sizeof(buffer)) return 0; (or i & 15 for a buffer of 16)",
    ),
    explain(
        r"invalid read from stack (?:R\d+ )?off",
        "This reads bytes of the stack that were never written, or that lie beyond the variable.",
        "set the variable where it is declared: struct data_t data = {{}}; and check the size or the index",
    ),
    explain(
        r"combined stack size of (?P<calls>\d+) calls is (?P<size>\d+)",
        "The variables of the functions that call each other need {size} bytes; all of them share a stack of 512.",
        "keep what is large in a map: BPF_PERCPU_ARRAY(scratch, struct data_t, 1);",
    ),
    explain(
        r"(?:corrupted spill memory|attempt to corrupt spilled pointer on stack|invalid size of register (?:fill|"
        r"spill))",
        "A pointer that was put on the stack is written over, or read back in part.",
        "do not store a pointer and a number in the same variable or union",
    ),
    # ---- sizes and indices ----
    explain(
        rf"{REGISTER} unbounded memory access, use 'var &= const' or 'if \(var < const\)'",
        "{it} is a size with no upper limit that the verifier can see: {call} could go past the end of the buffer.",
        "test it right before: if (n > sizeof(buffer)) return 0;",
    ),
    explain(
        rf"{REGISTER} unbounded memory access, make sure to bounds check",
        "An index has no upper limit that the verifier can see, so this may lie outside the value.",
        "test it right before: if (i >= 8) return 0; (for an array of 8)",
    ),
    explain(
        rf"{REGISTER} min value is negative, either use unsigned or 'var &= const'",
        "{it} is a size that may be negative, or so large that it counts as negative.",
        "make it unsigned and bound it right before: u32 n = size; if (n > sizeof(buffer)) return 0;",
    ),
    explain(
        rf"{REGISTER} min value is (?:negative, either use unsigned index or do a if \(index >=0\) check)",
        "An index may be negative.",
        "make it unsigned (u32 i) and test that it is small enough",
    ),
    explain(
        r"invalid access to map value, value_size=(?P<have>\d+) off=(?P<at>-?\d+) size=(?P<size>\d+)",
        "A value of the map has {have} bytes; this accesses {size} at offset {at}, beyond its end or before its start.",
        "an array of n elements ends at n - 1: test the index with i >= n, not i > n, and check what the map is "
        "declared to hold",
    ),
    explain(
        r"invalid access to (?:memory|mem|map key|key), (?:mem|"
        r"key)_size=(?P<have>\d+) off=(?P<at>-?\d+) size=(?P<size>\d+)",
        "This memory has {have} bytes; this accesses {size} at offset {at}.",
        "ask for enough: ringbuf_reserve(sizeof(struct event)), and check the index",
    ),
    explain(
        r"invalid access to packet|R\d+ offset is outside of the packet",
        "The packet may end before this byte: the verifier has to see a test against its end.",
        "if (data + sizeof(*header) > data_end) return XDP_PASS; with data_end = (void *)(long)ctx->data_end",
    ),
    explain(
        r"R\d+ (?:min|max) value is outside of the (?:allowed memory range|array range|map value range)",
        "An offset or index may lead out of the memory that this points to.",
        "test the index right before it is used: if (i >= 8) return 0; (for an array of 8)",
    ),
    explain(
        r"math between (?P<kind>\w+) pointer and (?:register with unbounded (?:min|max) value|-?\d+) is not allowed|"
        r"value -?\d+ makes (?P<other>\w+) pointer be out of bounds",
        "An index is added to a pointer, and may be negative or without limit.",
        "make the index unsigned (u32 i) and test it right before: if (i >= 8) return 0;",
    ),
    explain(
        r"R\d+ unbounded size, use|R\d+ is not a known constant|R\d+ must be a known constant",
        "{call} needs a size that is known when the program is loaded: a constant.",
        "use sizeof(..) or a number, and send what varies in a field (or by ringbuf_output, whose size may vary)",
    ),
    explain(
        r"R\d+ invalid zero-sized (?:read|access)|invalid zero-sized read",
        "{call} gets a size that may be 0.",
        "test it: if (n == 0) return 0;",
    ),
    explain(
        r"misaligned (?P<what>\w+) access off .* size (?P<size>\d+)|misaligned access off",
        "{size} bytes are accessed at an address that is not a multiple of {size}: this processor or program type "
        "does not allow it.",
        "do not use packed structures or odd offsets for it; copy with __builtin_memcpy into a variable of the right "
        "type",
    ),
)
