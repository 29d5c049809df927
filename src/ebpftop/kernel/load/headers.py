"""Headers for any program of BCC, made of the running kernel's BTF: only what the program's own words ask for.

A C file includes headers of the kernel. They are a package that fits one kernel, if it is installed at all; BTF is that
kernel, and always there. So every file that is included is empty, and what the program needs of all of them stands in
the one header that BCC puts before the program.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from ebpftop.kernel import btf, stub_headers, tracefs
from ebpftop.kernel.btf_types import Kind, Type
from ebpftop.kernel.load import header_macros, kernel_config
from ebpftop.kernel.load.bcc_names import BccNames, defined, loaded_library, names_in, tag, without_comments, words
from ebpftop.kernel.load.c_types import Declarations
from ebpftop.kernel.load.kernel_types import KernelTypes

UAPI = '#include "/virtual/include/bcc/bpf.h"\n'
"""BCC's own copy of the kernel's interface to programs: it lies inside its library."""

_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:<([^>\n]+)>|"([^"\n]+)")', re.MULTILINE)
_BCCS_OWN = re.compile(r"(?:bcc/|/)|stdarg\.h$")
_TAGGED = re.compile(r"\b(struct|union|enum)\s+(\w+)")
_KINDS = {"struct": (Kind.STRUCT,), "union": (Kind.UNION,), "enum": (Kind.ENUM, Kind.ENUM64)}
_TRACEPOINTS = re.compile(r"\bTRACEPOINT_PROBE\s*\(\s*(\w+)\s*,\s*(\w+)\s*\)|\btracepoint__(\w+?)__(\w+)")
_FIELD = re.compile(r"^\s*field:(.*?);", re.MULTILINE)
_ATTRIBUTE = re.compile(r"__attribute__\s*\(\(\s*(\w+)")

_BCC_USES = "struct pt_regs; roundup_pow_of_two"
"""What BCC's own macros use."""
_BCC_INCLUDES = ("include/uapi/linux/if_ether.h",)

_BASE = defined(stub_headers.BASE_TYPES)
# Its typedefs stand in lines of several.
_BASE_NAMES = _BASE.all | frozenset(re.findall(r"(\w+);", stub_headers.BASE_TYPES))


@dataclass(frozen=True)
class KernelFacts:
    """What headers are made of. Reading it takes 0.2 s, so a process that compiles reads it once."""

    types: KernelTypes
    bcc: BccNames
    config: Mapping[str, str]
    """Value of each CONFIG_ macro."""

    @classmethod
    def read(cls) -> KernelFacts:
        """Read what the running kernel and BCC's loaded library have (import bcc first); raises BtfError, OSError."""
        library = loaded_library()
        bcc = names_in(library) if library else BccNames(frozenset(), frozenset())
        return cls(KernelTypes(btf.of_running_kernel()), bcc, kernel_config.of_running_kernel())


def event_format(category: str, event: str) -> str:
    """Return the format file of a tracepoint; empty if tracefs has none, or is not mounted."""
    folder = tracefs.find()
    try:
        return (folder / "events" / category / event / "format").read_text() if folder else ""
    except OSError:
        return ""


def headers_for(
    source: str,
    facts: KernelFacts,
    *,
    own: Collection[str] = (),
    formats: Callable[[str, str], str] = event_format,
) -> dict[str, str]:
    """Return the text of every header that *source* needs, by its path below BCC_KERNEL_SOURCE.

    *source* is what is compiled, with the files that it includes itself and whose names are *own*. *formats* returns
    the format file of a tracepoint by category and name; BCC makes a struct of it, whose types are needed too.
    """
    kernel, bcc = facts.types, facts.bcc
    code = without_comments(source)
    texts = (formats(*(part for part in found if part)) for found in _TRACEPOINTS.findall(code))
    fields = "\n".join(line for text in texts for line in _FIELD.findall(text))
    everything = f"{code}\n{fields}\n{_BCC_USES}"
    of_source = defined(code).all
    after = of_source | bcc.helpers
    # A macro of the kernel, as noinline, cannot stand in an attribute, where it is the word of the compiler.
    known = of_source | bcc.uapi | _constants(everything, kernel) | frozenset(_ATTRIBUTE.findall(code))
    macros = header_macros.needed(words(everything), known)
    everything += "\n" + "\n".join(macros.values())
    declarations = Declarations(kernel, words(everything), _BASE_NAMES | bcc.uapi, after | macros.keys())
    elsewhere = after | bcc.uapi | _BASE_NAMES
    for found in _asked(everything, kernel, elsewhere):
        declarations.add(found)
    registers = (
        "" if kernel.find((Kind.STRUCT,), "pt_regs") else stub_headers.PT_REGS.get(stub_headers.kernel_arch(), "")
    )
    measured = _measured(words(code) - of_source, kernel, facts.config)
    parts = (stub_headers.BASE_TYPES, registers, UAPI, declarations.text(), "", *measured, *macros.values(), "")
    included = (name for names in _INCLUDE.findall(code) for name in names if name and name not in own)
    return {
        **{f"include/{name}": "" for name in included if not _BCCS_OWN.match(name) and ".." not in name},
        **dict.fromkeys(_BCC_INCLUDES, ""),
        **stub_headers.headers(),
        stub_headers.KCONFIG_NAME: "\n".join(parts),
    }


def _constants(text: str, kernel: KernelTypes) -> frozenset[str]:
    return frozenset(word for word in words(text) if kernel.enum_of(word) is not None)


def _measured(names: Collection[str], kernel: KernelTypes, config: Mapping[str, str]) -> Iterator[str]:
    """Yield the macros among *names* whose values differ between kernels and machines."""
    yield f"#undef PAGE_SIZE\n#define PAGE_SIZE {os.sysconf('SC_PAGE_SIZE')}"
    for name in sorted(config.keys() & names):
        yield f"#undef {name}\n#define {name} {config[name]}"
    dentry = kernel.find((Kind.STRUCT,), "dentry")
    if "DNAME_INLINE_LEN" in names and dentry is not None:
        # Of a name that is kept inside of it: d_iname until Linux 6.12, then d_shortname (include/linux/dcache.h).
        places = (member.type_id for member in dentry.members if member.name in ("d_iname", "d_shortname"))
        yield from (f"#define DNAME_INLINE_LEN {kernel.btf.size_of(place)}" for place in places)


def _asked(text: str, kernel: KernelTypes, elsewhere: Collection[str]) -> Iterable[Type]:
    """Yield the types that *text* names, except those that are declared *elsewhere*; in an order that does not vary."""
    for word, name in dict.fromkeys(_TAGGED.findall(text)):
        if tag(name) not in elsewhere and (found := kernel.find(_KINDS[word], name)) is not None:
            yield found
    for name in sorted(words(text)):
        if name in elsewhere:
            continue
        if (found := kernel.find((Kind.TYPEDEF,), name)) is not None:
            yield found
        if (found := kernel.enum_of(name)) is not None:
            yield found
