/* test_safetensors.c - what is written reads back, what is not exactly the format is refused, and
 * shards are one set of tensors. */
#include <math.h>
#include <stdio.h>
#include <unistd.h>
#include "../../reward_model/hub/files.h"
#include "../../reward_model/hub/safetensors.h"
#include "../../server/base/crypto.h"
#include "../unit/unit.h"

static Arena arena;
static Err err;
static char folder[] = "/tmp/aileron-safetensors-XXXXXX";

static const char *in_folder(const char *name)
{
    return path_under(&arena, folder, name);
}

static void put_file(const char *name, Str text)
{
    ck_assert(file_write(in_folder(name), text, &arena, &err));
}

/* A file of that header (its length before it) and that many bytes 0, 1, 2, … of data. */
static void put_tensors(const char *name, const char *header, size_t bytes)
{
    Buf text;
    buf_init(&text, MiB(1));
    uint64_t length = strlen(header);
    for (int i = 0; i < 8; i++) buf_put_char(&text, (char)(length >> 8 * i));
    buf_put_text(&text, header);
    for (size_t i = 0; i < bytes; i++) buf_put_char(&text, (char)i);
    put_file(name, buf_str(&text));
    buf_release(&text);
}

static void begin(void)
{
    arena_release(&arena);
    arena_init(&arena, MiB(16));
    err = (Err){0};
}

static void ck_refused(const char *path, const char *says)
{
    err = (Err){0};
    Safetensors *tensors = safetensors_open(path, &arena, &err);
    ck_assert_msg(tensors == NULL, "accepted; should say: %s", says);
    ck_assert_msg(err.detail != NULL && strstr(err.detail, says) != NULL, "\"%s\" lacks \"%s\"",
                  err.detail, says);
}

START_TEST(what_is_not_the_format_is_refused_by_name)
{
    static const struct {
        const char *header;
        size_t bytes;
        const char *says;
    } cases[] = {
        {"[]", 0, "must begin with {"},
        {" {}", 0, "must begin with {"},
        {"{", 0, "not JSON"},
        {"{}x", 0, "not JSON"},
        {"{}", 1, "1 bytes at the end belong to no tensor"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
         "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
         4, "duplicate"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "must have dtype, shape and"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"offsets\":[0,4]}}", 4, "data_offsets must be"},
        {"{\"a\":{\"dtype\":\"F33\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "dtype \"F33\""},
        {"{\"a\":{\"dtype\":7,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "dtype \"\""},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4, "8 by its shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4, "shape[0] is not"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,4]}}", 4, "shape[0]"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":{},\"data_offsets\":[0,4]}}", 4, "shape must be"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4,
         "at most 8 sizes"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,4]}}", 4,
         "too large"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,8]}}", 4, "past the end"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4, "[begin, end]"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[2,3]}}",
         3, "begins after a hole"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}",
         3, "overlaps"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}", 2, "after a hole"},
        {"{\"__metadata__\":[]}", 0, "__metadata__ must be an object"},
        {"{\"__metadata__\":{\"a\":1}}", 0, "must be text"},
        {"{\"\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0, "1 to 512 bytes"},
    };
    begin();
    for (size_t i = 0; i < LEN(cases); i++) {
        put_tensors("bad.safetensors", cases[i].header, cases[i].bytes);
        ck_refused(in_folder("bad.safetensors"), cases[i].says);
    }
    put_file("bad.safetensors", STR(""));
    ck_refused(in_folder("bad.safetensors"), "too short");
    put_file("bad.safetensors", STR("\3\0\0\0\0\0\0\0{}"));
    ck_refused(in_folder("bad.safetensors"), "header goes past the end");
    put_file("bad.safetensors", STR("\377\377\377\377\377\377\377\377{}"));
    ck_refused(in_folder("bad.safetensors"), "at most 100000000");
    ck_refused(in_folder("nothing"), "No such file");
}
END_TEST

START_TEST(odd_but_legal_files_are_read)
{
    begin();
    put_tensors("odd.safetensors",
                "{\"b\":{\"shape\":[],\"data_offsets\":[0,2],\"dtype\":\"BF16\"},"
                "\"a\":{\"dtype\":\"F32\",\"shape\":[3,0],\"data_offsets\":[2,2]},"
                "\"c\":{\"dtype\":\"BOOL\",\"shape\":[2],\"data_offsets\":[2,4]}}   ",
                4);
    Safetensors *tensors = safetensors_open(in_folder("odd.safetensors"), &arena, &err);
    ck_assert_msg(tensors != NULL, "%s", err.detail);
    ck_assert_uint_eq(safetensors_count(tensors), 3);
    ck_assert_str_is(safetensors_at(tensors, 0).name, "a");
    TensorView view;
    ck_assert(safetensors_find(tensors, STR("b"), &view));
    ck_assert(view.rank == 0 && view.type == TENSOR_BF16 && view.bytes == 2);
    float value;
    tensor_read_f32(&view, &value); /* 0x0100, not aligned */
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    ck_assert_uint_eq(bits, 0x01000000);
    ck_assert(safetensors_find(tensors, STR("c"), &view) && view.type == TENSOR_OTHER);
    ck_assert(!safetensors_find(tensors, STR("d"), &view));
    ck_assert(!safetensors_find(tensors, STR(""), &view));
    safetensors_close(tensors);
}
END_TEST

static const float values[] = {0,     -0.0f,   1,       -1,        1.00390625f, 1.01171875f,
                               65504, 65519.f, 6.1e-5f, 5.96e-8f,  3.e-8f,      -2.98e-8f,
                               0.1f,  1e-20f,  -3e4f,   0.333333f, INFINITY,    -INFINITY};

static bool write_pair(const char *path, TensorType type, const float *second)
{
    const TensorEntry entries[] = {{"z", TENSOR_F32, 1, {LEN(values)}},
                                   {"b", type, 2, {2, LEN(values) / 2}},
                                   {"a", type, 0, {0}}};
    SafetensorsWriter *writer =
        safetensors_write(path, entries, LEN(entries),
                          (const char *const[]){"by", "a \"test\"", NULL}, &arena, &err);
    ck_assert_msg(writer != NULL, "%s", err.detail);
    ck_assert_int_ne(access(path, F_OK), 0);
    bool ok = safetensors_put(writer, 2, values, &arena, &err) &&
              safetensors_put(writer, 0, values, &arena, &err) &&
              safetensors_put(writer, 1, second, &arena, &err);
    return safetensors_finish(writer, ok, &arena, &err) && ok;
}

START_TEST(written_values_read_back_rounded_to_even)
{
    begin();
    const char *path = in_folder("pair.safetensors");
    for (int type = TENSOR_F32; type <= TENSOR_BF16; type++) {
        TensorView view;
        float back[LEN(values)], one;
        unlink(path);
        ck_assert_msg(write_pair(path, (TensorType)type, values), "%s", err.detail);
        Safetensors *tensors = safetensors_open(path, &arena, &err);
        ck_assert_msg(tensors != NULL, "%s", err.detail);
        ck_assert(safetensors_find(tensors, STR("z"), &view));
        ck_assert_mem_eq(view.data, values, sizeof values);
        ck_assert_uint_eq((uintptr_t)view.data % 4, 0);
        ck_assert(safetensors_find(tensors, STR("a"), &view));
        tensor_read_f32(&view, &one);
        ck_assert(one == 0);
        ck_assert(safetensors_find(tensors, STR("b"), &view) && view.type == (TensorType)type);
        tensor_read_f32(&view, back);
        for (size_t i = 0; i < LEN(values); i++) {
            float want = values[i];
            if (type == TENSOR_F16) want = (float)(_Float16)values[i];
            if (type == TENSOR_BF16 && isfinite(want)) { /* the nearest of 8 bits, ties to even */
                int exponent;
                float part = frexpf(want, &exponent);
                want = ldexpf(rintf(part * 256), exponent - 8);
            }
            ck_assert_msg(back[i] == want && signbit(back[i]) == signbit(want), "%d: %g is %g",
                          type, (double)values[i], (double)back[i]);
        }
        safetensors_close(tensors);
    }
}
END_TEST

START_TEST(a_value_too_large_leaves_no_file)
{
    begin();
    float large[LEN(values)] = {65520};
    const char *path = in_folder("large.safetensors");
    ck_assert(!write_pair(path, TENSOR_F16, large));
    ck_assert_ptr_nonnull(strstr(err.detail, "tensor b has a value too large for F16"));
    ck_assert_int_ne(access(path, F_OK), 0);
    ck_assert_int_ne(access(in_folder("large.safetensors.new"), F_OK), 0);
    large[0] = 65519;
    ck_assert(write_pair(path, TENSOR_F16, large));
}
END_TEST

static const char one_tensor[] = "{\"%s\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}";

START_TEST(shards_are_one_set)
{
    char header[200], hash[65], want[65];
    begin();
    snprintf(header, sizeof header, one_tensor, "x");
    put_tensors("model-2.safetensors", header, 2);
    snprintf(header, sizeof header, one_tensor, "y");
    put_tensors("model-1.safetensors", header, 2);
    static const struct {
        const char *index, *says; /* says NULL: good */
    } cases[] = {
        {"{\"weight_map\":{\"x\":\"model-2.safetensors\",\"y\":\"model-1.safetensors\"}}", NULL},
        {"{\"weight_map\":{\"x\":\"model-1.safetensors\",\"y\":\"model-2.safetensors\"}}",
         "does not list"},
        {"{\"weight_map\":{\"x\":\"model-2.safetensors\"}}", NULL},
        {"{\"weight_map\":{\"x\":\"model-2.safetensors\",\"z\":\"model-2.safetensors\"}}",
         "lists z, which is not in model-2.safetensors"},
        {"{\"weight_map\":{\"x\":\"../model-2.safetensors\"}}", "beside it"},
        {"{\"weight_map\":{\"x\":\".safetensors\"}}", "beside it"},
        {"{\"weight_map\":{\"x\":\"model-3.safetensors\"}}", "No such file"},
        {"{\"weight_map\":{}}", "weight_map must name"},
        {"{\"weight_map\":7}", "weight_map must name"},
        {"[]", "weight_map must name"},
        {"{", "column"},
    };
    for (size_t i = 0; i < LEN(cases); i++) {
        put_file("model.safetensors.index.json", str_from(cases[i].index));
        if (cases[i].says != NULL) {
            ck_refused(folder, cases[i].says);
            continue;
        }
        Safetensors *tensors = safetensors_open(folder, &arena, &err);
        ck_assert_msg(tensors != NULL, "%s", err.detail);
        ck_assert_uint_eq(safetensors_count(tensors), i == 0 ? 2 : 1);
        safetensors_hash(tensors, hash);
        safetensors_close(tensors);
        if (i > 0) continue;
        Buf both; /* the hash is of the files one after another, by name */
        buf_init(&both, KiB(64));
        ck_assert(file_read(in_folder("model-1.safetensors"), &both, &arena, &err));
        ck_assert(file_read(in_folder("model-2.safetensors"), &both, &arena, &err));
        uint8_t digest[CRYPTO_HASH_BYTES];
        crypto_hash(digest, buf_str(&both), NULL);
        crypto_hex(want, digest, sizeof digest);
        ck_assert_str_eq(hash, want);
        buf_release(&both);
    }
    snprintf(header, sizeof header, one_tensor, "x");
    put_tensors("model-1.safetensors", header, 2);
    put_file("model.safetensors.index.json", str_from(cases[0].index));
    ck_refused(folder, "x is there twice");
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {what_is_not_the_format_is_refused_by_name,
                                  odd_but_legal_files_are_read,
                                  written_values_read_back_rounded_to_even,
                                  a_value_too_large_leaves_no_file, shards_are_one_set};
    if (!crypto_init() || mkdtemp(folder) == NULL) return EXIT_FAILURE;
    int status = unit_run("safetensors", tests, LEN(tests));
    char command[100];
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    return system(command) == 0 ? status : EXIT_FAILURE;
}
