/* test_memory.c - arenas and buffers: limits, alignment, reuse. */
#include "../../server/base/arena.h"
#include "../../server/base/buf.h"
#include "unit.h"

START_TEST(arena_gives_zeroed_aligned_blocks)
{
    Arena arena;
    arena_init(&arena, MiB(4));
    for (size_t size = 0; size < 3000; size += 7) {
        char *block = arena_alloc(&arena, size);
        ck_assert_ptr_nonnull(block);
        ck_assert_uint_eq((uintptr_t)block % 16, 0);
        for (size_t i = 0; i < size; i++) ck_assert_int_eq(block[i], 0);
        memset(block, 0xff, size);
    }
    arena_reset(&arena);
    ck_assert_uint_eq(arena.used, 0);
    char *again = arena_alloc(&arena, 100);
    for (size_t i = 0; i < 100; i++) ck_assert_int_eq(again[i], 0);
    arena_release(&arena);
}
END_TEST

START_TEST(arena_stops_at_its_cap)
{
    Arena arena;
    arena_init(&arena, 1000);
    ck_assert_ptr_nonnull(arena_alloc(&arena, 900));
    ck_assert_ptr_null(arena_alloc(&arena, 101));
    ck_assert_ptr_nonnull(arena_alloc(&arena, 100));
    ck_assert_ptr_null(arena_alloc(&arena, 1));
    ck_assert_ptr_null(arena_alloc(&arena, SIZE_MAX));
    ck_assert_ptr_null(arena_printf(&arena, "%s", "no room").ptr);
    arena_release(&arena);
}
END_TEST

START_TEST(arena_keeps_small_room_beside_a_large_block)
{
    Arena arena;
    arena_init(&arena, MiB(64));
    char *small = arena_alloc(&arena, 16);
    char *large = arena_alloc(&arena, MiB(8));
    char *next = arena_alloc(&arena, 16);
    ck_assert_ptr_nonnull(large);
    ck_assert_ptr_eq(next, small + 16);
    arena_release(&arena);
}
END_TEST

START_TEST(arena_copies_text)
{
    Arena arena;
    arena_init(&arena, KiB(64));
    ck_assert_str_is(arena_copy(&arena, STR("hello")), "hello");
    ck_assert_ptr_null(arena_copy(&arena, (Str){NULL, 0}).ptr);
    Str empty = arena_copy(&arena, STR(""));
    ck_assert(empty.ptr != NULL && empty.len == 0 && empty.ptr[0] == '\0');
    ck_assert_str_is(arena_printf(&arena, "%d-%s", 7, "x"), "7-x");
    arena_release(&arena);
}
END_TEST

START_TEST(buf_fails_past_its_maximum_and_stays_failed)
{
    Buf buf;
    buf_init(&buf, 10);
    buf_put_text(&buf, "12345");
    ck_assert(buf_ok(&buf));
    buf_put_text(&buf, "123456");
    ck_assert(!buf_ok(&buf));
    buf_put_char(&buf, 'x');
    ck_assert_uint_eq(buf.len, 5);
    buf_clear(&buf);
    buf_put_text(&buf, "1234567890");
    ck_assert(buf_ok(&buf));
    ck_assert_str_is(buf_str(&buf), "1234567890");
    buf_release(&buf);
}
END_TEST

START_TEST(buf_reclaims_what_was_consumed)
{
    Buf buf;
    buf_init(&buf, 1000);
    for (int round = 0; round < 100; round++) {
        for (int i = 0; i < 90; i++) buf_put_text(&buf, "0123456789");
        ck_assert(buf_ok(&buf));
        while (buf_waiting(&buf) > 0) {
            size_t n = buf_waiting(&buf) > 7 ? 7 : buf_waiting(&buf);
            buf_consume(&buf, n);
        }
    }
    ck_assert_uint_le(buf.cap, 1000);
    buf_release(&buf);
}
END_TEST

START_TEST(buf_writes_numbers)
{
    Buf buf;
    buf_init(&buf, 1000);
    buf_put_int(&buf, INT64_MIN);
    buf_put_format(&buf, "|%05.1f|", 2.25);
    ck_assert_str_is(buf_str(&buf), "-9223372036854775808|002.2|");
    buf_clear(&buf);
    buf_put_be16(&buf, 0x0102);
    buf_put_be32(&buf, 0x03040506);
    buf_put_be64(&buf, 0x0708090a0b0c0d0e);
    for (size_t i = 0; i < buf.len; i++) ck_assert_int_eq(buf.data[i], (char)(i + 1));
    ck_assert_uint_eq(buf.len, 14);
    buf_release(&buf);
}
END_TEST

UNIT_MAIN("memory", arena_gives_zeroed_aligned_blocks, arena_stops_at_its_cap,
          arena_keeps_small_room_beside_a_large_block, arena_copies_text,
          buf_fails_past_its_maximum_and_stays_failed, buf_reclaims_what_was_consumed,
          buf_writes_numbers)
