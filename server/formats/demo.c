/* demo.c - see demo.h: schema/demo.jsonl, taken in by the assembler. */
#include "demo.h"

__asm__(".section .rodata\n"
        ".global aileron_demo_rows, aileron_demo_rows_end\n"
        "aileron_demo_rows:\n"
        ".incbin \"schema/demo.jsonl\"\n"
        "aileron_demo_rows_end:\n"
        ".byte 0\n"
        ".previous\n");

extern const char aileron_demo_rows[], aileron_demo_rows_end[];

Str demo_rows(void)
{
    return (Str){aileron_demo_rows, (size_t)(aileron_demo_rows_end - aileron_demo_rows)};
}
