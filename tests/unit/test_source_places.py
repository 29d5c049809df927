"""Lines that a message without a line is probably about."""

from __future__ import annotations

from ebpftop.models.source_places import called_function, only_loop


def test_the_only_loop() -> None:
    assert only_loop(["int f() {", "\tfor (;;)", "\t\t;"]) == 2
    assert only_loop(["while (x)", "for (;;)"]) is None
    assert only_loop(["return 0;"]) is None


def test_a_static_function_that_is_called_and_not_inline() -> None:
    source = [
        "static __attribute__((noinline)) int twice(int x) {",
        "\treturn x;",
        "}",
        "int hello(void *ctx) {",
        "\treturn twice(1);",
        "}",
    ]
    assert called_function(source) == 5
    assert called_function(["static inline int twice(int x) {", "}", "return twice(1);"]) is None
    assert called_function(["static __always_inline int twice(int x) {", "}", "return twice(1);"]) is None
    assert called_function(["static int unused(int x) {", "}"]) is None
    assert called_function(["static int number = 3;", "return number;"]) is None
