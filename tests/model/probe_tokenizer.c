/* probe_tokenizer.c - texts to token ids, for tests that compare with other programs.
 * probe_tokenizer TOKENIZER.json < "LENGTH\nBYTES" … > a line of ids for each. With --time: encodes
 * each text again for a second and prints the speed on standard error. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "../../reward_model/hub/files.h"
#include "../../reward_model/text/tokenizer.h"
#include "../../server/base/crypto.h"

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static Tokenizer *read_tokenizer(const char *path, Arena *arena, Err *err)
{
    Buf text;
    buf_init(&text, MiB(64));
    Tokenizer *tokenizer = NULL;
    double start = now_s();
    if (file_read(path, &text, arena, err)) tokenizer = tokenizer_read(buf_str(&text), arena, err);
    buf_release(&text);
    if (tokenizer != NULL) fprintf(stderr, "read in %.3f s\n", now_s() - start);
    return tokenizer;
}

static bool print_ids(const Tokenizer *tokenizer, Str text, bool timed)
{
    TokenIds ids = {0};
    bool ok = tokenizer_encode(tokenizer, text, &ids);
    for (size_t i = 0; i < ids.count; i++) printf("%s%d", i > 0 ? " " : "", ids.ids[i]);
    printf("\n");
    double start = now_s(), bytes = 0;
    while (ok && timed && now_s() - start < 1) {
        ids.count = 0;
        ok = tokenizer_encode(tokenizer, text, &ids);
        bytes += (double)text.len;
    }
    if (timed) fprintf(stderr, "%.1f MB/s\n", bytes / 1e6 / (now_s() - start));
    token_ids_release(&ids);
    return ok;
}

int main(int argc, char **argv)
{
    Arena arena;
    Err err = {0};
    size_t length;
    arena_init(&arena, MiB(256));
    if (argc < 2 || !crypto_init()) return 2;
    Tokenizer *tokenizer = read_tokenizer(argv[1], &arena, &err);
    if (tokenizer == NULL) {
        fprintf(stderr, "%s\n", err.detail);
        return 1;
    }
    bool ok = true;
    while (ok && scanf("%zu", &length) == 1 && getchar() == '\n') {
        char *bytes = malloc(length + 1);
        ok = bytes != NULL && fread(bytes, 1, length, stdin) == length &&
             print_ids(tokenizer, (Str){bytes, length}, argc > 2);
        free(bytes);
    }
    tokenizer_free(tokenizer);
    arena_release(&arena);
    return ok ? 0 : 1;
}
