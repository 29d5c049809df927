"""The table of what clang, BCC and LLVM's back end say, for compiler_words.py.

In the texts, groups of the pattern stand for what they found, and some names for what is known elsewhere: {meant} is
what clang offers instead, {instead} what a BPF program has, {any_name} and {any_type} the first group that found
something.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Words(NamedTuple):
    pattern: re.Pattern[str]
    meaning: str
    suggestion: str


def _w(pattern: str, meaning: str, suggestion: str) -> Words:
    return Words(re.compile(pattern), meaning, suggestion)


WORDS: tuple[Words, ...] = (
    _w(
        r"(?:implicit declaration of function|implicitly declaring library function|"
        r"call to undeclared (?:library )?function) "
        r"'(?P<name>\w+)'",
        "There is no function {name} here: a BPF program can call the kernel's helpers (bpf_..) and functions of its "
        "own file, "
        "and has no C library.",
        "{instead}",
    ),
    _w(
        r"use of undeclared identifier '(?P<name>\w+)'",
        "{name} is used here, and declared nowhere before.",
        "{undeclared}",
    ),
    _w(
        r"no member named '(?P<name>\w+)' in 'struct (?P<table>\w+)_table_t'",
        "The map {table} has no operation {name}: what can be done with a map depends on its kind.",
        "{operation}",
    ),
    _w(
        r"no member named '(?P<name>\w+)' in 'struct tracepoint__(?P<category>\w+?)__(?P<event>\w+)'",
        "The tracepoint {category}:{event} has no field {name} on this kernel.",
        "{meant}its fields are in /sys/kernel/tracing/events/{category}/{event}/format",
    ),
    _w(
        r"no member named '(?P<name>\w+)' in '(?P<type>[^']*)'",
        "{type} has no member {name} (on this kernel, if it is one of the kernel's).",
        "{meant}see how the structure is declared",
    ),
    _w(
        r"member reference type '(?P<type>[^']*)' is a pointer",
        "This is a pointer: its members are reached by an arrow, not by a dot.",
        "write -> instead of . (and test first that it is not NULL)",
    ),
    _w(
        r"member reference type '(?P<type>[^']*)' is not a pointer",
        "This is a structure, not a pointer to one: its members are reached by a dot.",
        "write . instead of ->",
    ),
    _w(
        r"member reference base type '(?P<type>[^']*)' is not a structure",
        "{type} is a number: it has no members.",
        "see how it is declared",
    ),
    _w(
        r"unknown type name '(?P<name>\w+)'",
        "{name} is not a type that is known here.",
        "{meant}u8 u16 u32 u64, s8 s16 s32 s64, char, int, long; a structure is named with its word: struct {name}",
    ),
    _w(
        r"array initializer must be an initializer list or string literal|incomplete type 'char\[\]'",
        "The text of bpf_trace_printk has to stand in the call itself, between quotes.",
        'bpf_trace_printk("%s", text)',
    ),
    _w(
        r"has incomplete type 'struct (?P<table>\w+)_table_t'|forward declaration of 'struct (?P<other>\w+)_table_t'",
        "The map {any_name} could not be declared, because of an error further up.",
        "mend that one first",
    ),
    _w(
        r"(?:variable|field|parameter) has incomplete type '(?P<type>[^']*)'|"
        r"incomplete (?:definition of )?type '(?P<other>[^']*)'|"
        r"invalid application of 'sizeof' to an incomplete type '(?P<third>[^']*)'",
        "{any_type} is named, but what is in it is said nowhere (or only further down).",
        "declare it before it is used: {any_type} {{ u32 pid; .. }};",
    ),
    _w(
        r"expected ';'",
        "A statement ends with a semicolon, and here is none.",
        "add ; at the end of this line",
    ),
    _w(
        r"expected '(?P<sign>[^']+)'",
        "A {sign} is missing here, or further up: every bracket that is opened has to be closed.",
        "{opened}",
    ),
    _w(
        r"extraneous closing brace|expected identifier or '\('|expected external declaration",
        "This stands outside of every function: a bracket }} before it closes one too many, or something is missing.",
        "count the brackets {{ and }} above it",
    ),
    _w(
        r"expected expression|expected parameter declarator|expected function body|expected unqualified-id",
        "This is not C: something is missing or too much at this place.",
        "see the end of the line before, and brackets and quotes in this one",
    ),
    _w(
        r"missing terminating '.' character",
        "A text begins here with a quote, and does not end on this line.",
        'add the closing "',
    ),
    _w(
        r"Looks like the BPF stack limit|stack limit of 512|stack size .* exceeds|BPF stack limit",
        "The variables of this function need more than 512 bytes, which is all the stack that a BPF program has.",
        "keep what is large in a map: BPF_PERCPU_ARRAY(scratch, struct data_t, 1); and look it up with key 0",
    ),
    _w(
        r"Unsupported dynamic stack allocation|variable length array",
        "The size of an array on the stack has to be a constant.",
        "char text[64]; and use a part of it",
    ),
    _w(
        r"built-in function '(?P<name>__(?:float|fix|add|sub|mul|div|[a-z]*[sd]f)\w*)' is not supported|"
        r"(?:double|float).*not supported|Unsupported.*float",
        "BPF programs have no floating-point numbers: {name} would calculate with them.",
        "use integers: thousandths, or a numerator and a denominator; divide outside",
    ),
    _w(
        r"built-in function '(?P<name>__(?:u?div|u?mod|mul)(?:ti|di)\d)' is not supported",
        "Numbers of 128 bits are not known here.",
        "use u64",
    ),
    _w(
        r"built-in function '(?P<name>mem\w+)' is not supported",
        "{name} of this many bytes, or of a size that is not constant, cannot be made into instructions.",
        "use fewer bytes at once and a constant size; what is large belongs into a map: BPF_PERCPU_ARRAY(scratch, "
        "struct data_t, 1)",
    ),
    _w(
        r"built-in function '(?P<name>\w+)' is not supported",
        "The compiler made a call of {name} of this, which does not exist in the kernel.",
        "write it out with simple statements",
    ),
    _w(
        r"[Uu]nsupport(?:ed)? signed division|Cannot select: .*s(?:div|rem)",
        "BPF has no division of signed numbers.",
        "use unsigned ones: (u32)a / (u32)b",
    ),
    _w(
        r"Cannot select",
        "LLVM cannot make BPF instructions of this.",
        "write it in a simpler way: integers of 32 or 64 bits, no large values passed by value",
    ),
    _w(
        r"too many args\b|cannot use more than 3 conversion specifiers|too many arguments.*bpf_trace_printk",
        "bpf_trace_printk prints three numbers at most.",
        "print less, or send a structure: BPF_PERF_OUTPUT(output) and output.perf_submit(ctx, &data, sizeof(data))",
    ),
    _w(
        r"only a single %s|cannot use several %s|only %d %u %x|"
        r"unrecognized (?:conversion|printf)|format string is not|(?:invalid|"
        r"unsupported) conversion specifier|"
        r"%.* not supported by bpf_trace_printk|first argument must be a string literal|cannot use printk",
        "bpf_trace_printk knows %d %i %u %x %ld %lu %lx %lld %llu %llx %p, one %s, and its text has to be a constant.",
        'bpf_trace_printk("pid %d", pid)',
    ),
    _w(
        r"too many arguments, bcc only supports in-register parameters",
        "A program gets its context and at most as many arguments as there are registers; and BCC takes every "
        "function that is "
        "not static for a program.",
        "make a function that is only called static inline",
    ),
    _w(
        r"cannot call non-static helper function",
        "BCC makes a program of every function of the file that is not static, and a program cannot be called. A "
        "function that is "
        "called becomes a part of the caller.",
        "static inline before it; or a tail call: BPF_PROG_ARRAY(calls, 8); calls.call(ctx, 1)",
    ),
    _w(
        r"cannot have multiple definitions of function|redefinition of '____btf_map_|"
        r"redefinition of '(?P<table>\w+)_table_t'",
        "Two maps have the same name.",
        "give each its own name",
    ),
    _w(
        r"redefinition of '(?P<name>\w+)'|conflicting types for '(?P<other>\w+)'",
        "{any_name} is there twice.",
        "remove or rename one of them",
    ),
    _w(
        r"'section' attribute only applies|'used' attribute only applies to variables with non-local",
        "A map is declared inside a function; maps belong outside of all functions.",
        "move the line {macro}(..) to the top of the file",
    ),
    _w(
        r"unsupported map type: (?:maps/)?(?P<name>\w+)|could not open bpf map|[Uu]nable to create map",
        "This is not a kind of map that BCC or this kernel knows, or its sizes are not allowed.",
        "BPF_HASH(name, u64, u64); BPF_ARRAY(name, u64, 16); BPF_PERF_OUTPUT(name); BPF_RINGBUF_OUTPUT(name, 8); "
        "BPF_PROG_ARRAY(name, 8); BPF_HISTOGRAM(name)",
    ),
    _w(
        r"bpf_table (?P<name>\w*) ?failed to open|invalid bpf_table operation (?P<op>\w+)|.*bpf_table.*",
        "This cannot be done with this map.",
        "see which operations this kind of map has",
    ),
    _w(
        r"too few arguments to function call|too few arguments provided to function-like macro",
        "Arguments are missing.",
        "{form}",
    ),
    _w(
        r"too many arguments (?:to function call|provided to function-like macro)",
        "There are more arguments than it has.",
        "{form}",
    ),
    _w(
        r"incompatible integer to pointer conversion passing",
        "An address is expected, and this is a number.",
        "put & before the variable: &key",
    ),
    _w(
        r"incompatible pointer to integer conversion passing",
        "A number is expected, and this is an address: it would count the address.",
        "leave the & away",
    ),
    _w(
        r"incompatible (?:pointer types|integer to pointer conversion|pointer to integer conversion)",
        "The two sides have different types.",
        "see how both are declared; a pointer to the type of the map's value is what lookup gives",
    ),
    _w(
        r"passing '(?P<type>[^']*)' to parameter of incompatible type '(?P<other>[^']*)'|"
        r"initializing '(?P<third>[^']*)' with an expression of incompatible type|"
        r"assigning to '[^']*' from incompatible type",
        "The types do not fit: a structure is not a number, and not a pointer to itself.",
        "pass its address (&data), or the member that is meant",
    ),
    _w(
        r"'(?P<name>[^']+)' file not found",
        "There is no such header here: ebpftop compiles without the kernel's headers, and makes those of its types "
        "itself.",
        'leave this #include away; files of your own in the same folder: #include "name.h"',
    ),
    _w(
        r"cannot assign to variable '(?P<name>\w+)' with const-qualified type|read-only variable is not assignable|"
        r"cannot assign to .*const",
        "This was declared const: it cannot be changed.",
        "leave const away where it is declared",
    ),
    _w(
        r"array type '(?P<type>[^']*)' is not assignable",
        "An array cannot be given a value with =, except where it is declared.",
        'char message[16] = "Hello"; or __builtin_memcpy(message, "Hello", 6)',
    ),
    _w(r"expression is not assignable", "What is left of = is not a variable.", "see what is on the left side"),
    _w(
        r"use of undeclared label '(?P<name>\w+)'",
        "goto {name}, and there is no line {name}: in this function.",
        "add it, or return instead",
    ),
    _w(
        r"address of bit-field requested",
        "A bit-field has no address of its own.",
        "copy it into a variable: u32 b = flags.b; and use &b",
    ),
    _w(
        r"(?:non-void function|control (?:may )?reach(?:es)? end of non-void).*(?:does not return|should return|"
        r"end of)|"
        r"non-void function '?(?P<name>\w*)'? ?should return",
        "A path of the function ends without a return: what the program returns is then undefined.",
        "return 0; at its end",
    ),
    _w(
        r"void function '(?P<name>\w+)' should not return a value",
        "This function was declared void, so it returns nothing; a program returns int.",
        "int {name}(void *ctx)",
    ),
    _w(
        r"using the result of an assignment as a condition",
        "= gives a value, == compares. This gives one.",
        "write == if you mean to compare",
    ),
    _w(r"loop not unrolled", "The number of rounds of this loop is not a constant.", "for (int i = 0; i < 16; i++)"),
    _w(
        r"unknown register name '(?P<name>\w+)' in asm",
        "BCC reads the file once for this machine's own processor, which has no register {name}.",
        "leave it away in the list of what the assembly changes",
    ),
    _w(
        r"array index (?P<name>-?\d+) is (?:past the end|before the beginning)",
        "There is no element {name}: an array of n elements has 0 to n - 1. The verifier will refuse it.",
        "see the index",
    ),
    _w(
        r"variable '(?P<name>\w+)' is uninitialized|variable '(?P<other>\w+)' is used uninitialized",
        "{any_name} is used before it has a value; the verifier will refuse that.",
        "give it a value where it is declared: u64 {any_name} = 0;",
    ),
    _w(
        r"unused variable '(?P<name>\w+)'|variable '(?P<other>\w+)' set but not used",
        "{any_name} is never used.",
        "remove it, if that is right",
    ),
    _w(
        r"invalid preprocessing directive|unterminated (?:conditional|/\*)|#error",
        "A line for the preprocessor (#..) or a comment is not complete.",
        "see #if .. #endif and /* .. */",
    ),
    _w(
        r"called object type '(?P<type>[^']*)' is not a function",
        "This is not a function, and cannot be called.",
        "see how it is declared; a map is called by its operations: table.lookup(&key)",
    ),
    _w(
        r"(?:subscripted value is not|indirection requires pointer operand)",
        "This is not a pointer and not an array.",
        "{subscript}",
    ),
    _w(
        r"invalid operands to binary expression \('typeof \(\w+\.leaf\)'",
        "The value of this map is a structure: it cannot be counted up as a whole.",
        "lookup(&key), test it, and count its member: value->count++; a map that only counts has u64 as its value",
    ),
    _w(
        r"must use '(?P<name>\w+)' tag to refer to type '(?P<other>\w+)'",
        "{other} is a {name}, and is named with that word.",
        "{name} {other}",
    ),
    _w(
        r"comparison against a string literal|array comparison always evaluates",
        "This compares addresses, not texts: it is never true.",
        "compare character by character: text[0] == 'l' && text[1] == 's' && !text[2]",
    ),
    _w(
        r"division by zero|remainder by zero",
        "This divides by the constant 0. BPF makes 0 of it, and goes on.",
        "divide by something else",
    ),
    _w(
        r"type specifier missing, defaults to 'int'",
        "The type is missing: what the function returns, or what the variable holds.",
        "int in front of it",
    ),
    _w(
        r"expected identifier",
        "A name is expected here. Often that follows from an error in the same line or above it.",
        "mend that one first",
    ),
    _w(
        r"function definition is not allowed here",
        "A function begins within another one: a bracket }} is missing before it.",
        "close the function above",
    ),
    _w(
        r"invalid operands to binary expression",
        "These two cannot be calculated with or compared: one is a structure.",
        "use the member that is meant",
    ),
    _w(
        r"assigning to 'volatile|discards qualifiers",
        "A pointer to what must not be changed is passed on to something that may change it.",
        "const where the function declares its argument",
    ),
    _w(
        r"out of memory|LLVM ERROR: out|bad_alloc",
        "The compiler needed more memory than it is allowed to have.",
        "see for huge arrays and loops that are unrolled",
    ),
    _w(
        r"too many errors emitted",
        "clang stopped counting.",
        "mend the first ones; the rest often follow from them",
    ),
)
