/* emulated_device.c - the CUDA device under the emulator: uploads through the staging memory,
 * threads that share a GPU, and that the emulator names what is wrong. */
#include <fcntl.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>
#include "../model/ops_env.h"

void check_upload_small(Device *device, void *to, const void *from, size_t bytes);
uint64_t check_pending(Device *device);
int check_half(Device *device);
void check_fault(Device *device, const char *name, int variant, float *memory, size_t count);

enum { UPLOADS = 400, ROOM = MiB(96), FAULT_FLOATS = 4 * 64 + 64 };

/* Bytes of upload i: words, and now and then more than half of the staging memory. */
static size_t upload_bytes(int i)
{
    static const size_t sizes[] = {4, 40, 4096, 70000, MiB(1), 12, 300000, 1000001, MiB(2) + 12};
    return i % 80 == 79 ? MiB(5) + 4 : sizes[(size_t)i * 7 % LEN(sizes)];
}

static void pattern(unsigned char *bytes, size_t count, int i)
{
    for (size_t j = 0; j < count; j++)
        bytes[j] = (unsigned char)(j * 31 + (size_t)i * 17 + j / 251);
}

/* Each upload's memory is overwritten at once; what arrives is what was there at the call, and the
 * host has not waited for all of it. */
START_TEST(uploads_take_what_is_there)
{
    Env env = env_open("cuda", DTYPE_BF16, 1);
    unsigned char *host = malloc(ROOM), *want = malloc(ROOM), *memory = env_alloc(&env, ROOM);
    size_t at = 0;
    int turns = 0, unfinished = 0;
    for (int i = 0; i < UPLOADS; i++) {
        size_t bytes = upload_bytes(i);
        int half = check_half(env.device);
        if (at + bytes > ROOM) break;
        pattern(host, bytes, i);
        memcpy(want + at, host, bytes);
        check_upload_small(env.device, memory + at, host, bytes);
        if (half != check_half(env.device)) turns++, unfinished += check_pending(env.device) > 1;
        memset(host, 0xee, bytes);
        at += bytes;
    }
    env.ops->download(env.device, host, memory, at);
    ck_assert_int_eq(memcmp(host, want, at), 0);
    ck_assert_int_gt(turns, 20);
    ck_assert_int_gt(unfinished, turns / 2);
    free(host);
    free(want);
    env_close(&env);
}
END_TEST

/* ---- threads ---- */

static void *elsewhere(void *context)
{
    Env *env = context;
    float in[64], out[64] = {0};
    for (int i = 0; i < 64; i++) in[i] = (float)i;
    float *memory = env->ops->alloc(env->device, sizeof in);
    Tensor t = {memory, 1, 64, 64, DTYPE_F32};
    env->ops->upload(env->device, memory, in, sizeof in);
    env->ops->add(env->device, t, t);
    env->ops->download(env->device, out, memory, sizeof out);
    env->ops->release(env->device, memory);
    return out[63] == 126 ? context : NULL;
}

/* CUDA has a current GPU for each thread. */
START_TEST(another_thread_uses_the_second_gpu)
{
    pthread_t thread;
    void *fine = NULL;
    ck_assert_int_eq(setenv("CUDA_EMULATED_DEVICES", "2", 1), 0);
    ck_assert_int_eq(setenv("AILERON_CUDA_DEVICE", "1", 1), 0);
    Env env = env_open("cuda", DTYPE_F32, 1);
    ck_assert_int_eq(pthread_create(&thread, NULL, elsewhere, &env), 0);
    ck_assert_int_eq(pthread_join(thread, &fine), 0);
    ck_assert_ptr_nonnull(fine);
    env_close(&env);
}
END_TEST

/* ---- the emulator's own answers ---- */

static const struct {
    const char *name;
    int variant;
    bool raced; /* seen only where accesses are followed */
    bool dies;
} FAULTS[] = {
    {"neighbours", 0, true, true},      {"neighbours", 1, true, true},
    {"neighbours", 2, true, true},      {"neighbours", 3, true, false},
    {"lanes", 0, true, true},           {"lanes", 1, true, false},
    {"blocks", 0, true, true},          {"copies", 0, true, true},
    {"copies", 1, true, true},          {"copies", 2, true, false},
    {"beyond", 0, false, true},         {"beyond", -1, false, false},
    {"kind", 0, false, true},           {"host", 0, false, true},
    {"default stream", 0, false, true},
};

#ifdef EMULATED_RACES
static const bool races_seen = true;
#else
static const bool races_seen = false;
#endif

static bool dies(int fault)
{
    int status = 0;
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        int nowhere = open("/dev/null", O_WRONLY);
        if (nowhere >= 0) dup2(nowhere, 2);
        Env env = env_open("cuda", DTYPE_F32, 1);
        float *memory = env_alloc(&env, FAULT_FLOATS * 4);
        env.ops->zero(env.device, memory, FAULT_FLOATS * 4);
        check_fault(env.device, FAULTS[fault].name, FAULTS[fault].variant, memory, FAULT_FLOATS);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return status != 0;
}

START_TEST(what_is_wrong_is_named)
{
    for (int i = 0; i < (int)LEN(FAULTS); i++) {
        if (FAULTS[i].raced && FAULTS[i].dies && !races_seen) continue;
        if (!strcmp(FAULTS[i].name, "host") && races_seen) continue; /* the address sanitizer's */
        ck_assert_msg(dies(i) == FAULTS[i].dies, "%s %d", FAULTS[i].name, FAULTS[i].variant);
    }
}
END_TEST

UNIT_MAIN("device", uploads_take_what_is_there, another_thread_uses_the_second_gpu,
          what_is_wrong_is_named)
