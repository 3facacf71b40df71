/* test_config.c - options from defaults, environment and words; the instance's keys. */
#include "../../server/config.h"
#include "../../server/keys.h"
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "unit.h"

static Arena arena;
static Err err;

static bool read_words(Config *config, int *argc, char **argv)
{
    arena_release(&arena);
    arena_init(&arena, KiB(64));
    return config_read(config, argc, argv, &arena, &err);
}

START_TEST(options_come_from_words_before_environment_before_defaults)
{
    Config config;
    char *argv[] = {"serve", "one", "--listen", "[::1]:9", "--workers=3", "--demo", "two", "--",
                    "--three", NULL};
    int argc = 9;
    setenv("AILERON_LISTEN", "0.0.0.0:1", 1);
    setenv("AILERON_PUBLIC_URL", "https://x.example", 1);
    ck_assert(read_words(&config, &argc, argv));
    ck_assert_str_eq(config.listen, "[::1]:9");
    ck_assert_str_eq(config.public_url, "https://x.example");
    ck_assert_str_eq(config.data, "data");
    ck_assert_int_eq(config.workers, 3);
    ck_assert_int_eq(config.connections, 4096);
    ck_assert(config.demo);
    ck_assert_int_eq(argc, 4);
    ck_assert_str_eq(argv[1], "one");
    ck_assert_str_eq(argv[2], "two");
    ck_assert_str_eq(argv[3], "--three");
    unsetenv("AILERON_LISTEN");
    unsetenv("AILERON_PUBLIC_URL");
    arena_release(&arena);
}
END_TEST

START_TEST(wrong_options_are_named)
{
    static const struct {
        const char *word, *value, *says;
    } cases[] = {
        {"--bogus", NULL, "--bogus"},       {"--workers", "many", "many"},
        {"--workers", "-1", "-1"},          {"--listen", NULL, "--listen needs a value"},
        {"--demo=perhaps", NULL, "perhaps"}, {"--workers=", NULL, "whole number"},
    };
    for (size_t i = 0; i < LEN(cases); i++) {
        Config config;
        char word[40], value[40];
        snprintf(word, sizeof word, "%s", cases[i].word);
        snprintf(value, sizeof value, "%s", cases[i].value == NULL ? "" : cases[i].value);
        char *argv[] = {"x", word, cases[i].value == NULL ? NULL : value, NULL};
        int argc = cases[i].value == NULL ? 2 : 3;
        ck_assert_msg(!read_words(&config, &argc, argv), "%s", word);
        ck_assert_msg(strstr(err.detail, cases[i].says) != NULL, "%s: %s", word, err.detail);
    }
    arena_release(&arena);
}
END_TEST

START_TEST(keys_are_made_once_and_kept)
{
    char directory[] = "/tmp/aileron-keys.XXXXXX", path[64];
    Keys first, second;
    struct stat info;
    arena_init(&arena, KiB(64));
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/secret.key", directory);
    ck_assert(keys_load(&first, directory, &arena, &err));
    ck_assert(keys_load(&second, directory, &arena, &err));
    ck_assert_mem_eq(&first, &second, sizeof first);
    ck_assert_mem_ne(first.pseudonym, first.seal, sizeof first.seal);
    ck_assert_int_eq(stat(path, &info), 0);
    ck_assert_int_eq(info.st_mode & 0777, 0600);
    ck_assert_int_eq(info.st_size, 64);
    ck_assert_int_eq(truncate(path, 10), 0);
    ck_assert(!keys_load(&second, directory, &arena, &err)); /* never silently replaced */
    ck_assert_msg(strstr(err.detail, "secret.key") != NULL, "%s", err.detail);
    unlink(path);
    rmdir(directory);
    arena_release(&arena);
}
END_TEST

UNIT_MAIN("config", options_come_from_words_before_environment_before_defaults,
          wrong_options_are_named, keys_are_made_once_and_kept)
