/* test_limit.c - rate limits, exact across threads; trusted proxies and client addresses. */
#include "../../server/http/limit.h"
#include "../../server/http/proxy.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <unistd.h>
#include "../../server/base/clock.h"
#include "unit.h"

START_TEST(a_burst_is_allowed_and_then_no_more)
{
    int wait = 0, taken = 0;
    limit_setup(10); /* ten a second, twenty at once */
    uint64_t key = limit_key("token", STR("a"));
    for (int i = 0; i < 100; i++) taken += limit_take(key, RATE_READ, &wait);
    ck_assert_int_ge(taken, 20);
    ck_assert_int_le(taken, 21);
    ck_assert_int_ge(wait, 1);
    ck_assert_int_le(wait, 2);
    ck_assert(limit_take(limit_key("token", STR("b")), RATE_READ, &wait));
    ck_assert(limit_take(key, RATE_WRITE, &wait)); /* classes are apart */
    usleep(250000);
    taken = 0;
    for (int i = 0; i < 10; i++) taken += limit_take(key, RATE_READ, &wait);
    ck_assert_int_ge(taken, 2);
    ck_assert_int_le(taken, 4);
}
END_TEST

START_TEST(nothing_is_limited_at_zero)
{
    int wait;
    limit_setup(0);
    for (int i = 0; i < 1000; i++) {
        ck_assert(limit_take(limit_key("login", STR("ann")), RATE_SIGN_IN, &wait));
    }
}
END_TEST

START_TEST(tries_at_one_login_are_few_and_from_one_address_more)
{
    int wait = 0, login = 0, address = 0;
    limit_setup(500);
    for (int i = 0; i < 200; i++) {
        login += limit_take(limit_key("login", STR("ann")), RATE_SIGN_IN, &wait);
        address += limit_take_address(limit_key("address", STR("::1")), RATE_SIGN_IN, &wait);
    }
    ck_assert_int_eq(login, 10);
    ck_assert_int_eq(address, 60);
    ck_assert(limit_take(limit_key("anything", STR("x")), RATE_NONE, &wait));
}
END_TEST

static void *take_many(void *arg)
{
    int wait, *taken = arg;
    uint64_t key = limit_key("token", STR("shared"));
    for (int i = 0; i < 20000; i++) *taken += limit_take(key, RATE_READ, &wait);
    return NULL;
}

START_TEST(threads_share_one_allowance)
{
    pthread_t threads[4];
    int taken[4] = {0}, total = 0;
    limit_setup(100);
    int64_t start = clock_monotonic_us();
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, take_many, &taken[i]);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        total += taken[i];
    }
    int64_t most = 200 + (clock_monotonic_us() - start) / 10000 + 1;
    ck_assert_int_ge(total, 200);
    ck_assert_int_le(total, most);
}
END_TEST

START_TEST(clients_are_found_behind_trusted_proxies)
{
    static const struct {
        const char *peer, *forwarded, *client;
    } cases[] = {
        {"10.1.2.3", "198.51.100.7", "198.51.100.7"},
        {"10.1.2.3", "6.6.6.6, 198.51.100.7, 10.9.9.9", "198.51.100.7"},
        {"10.1.2.3", "10.5.5.5", "10.5.5.5"},
        {"10.1.2.3", "", "10.1.2.3"},
        {"10.1.2.3", "nonsense", "10.1.2.3"},
        {"10.1.2.3", "198.51.100.7, nonsense", "10.1.2.3"},
        {"9.9.9.9", "198.51.100.7", "9.9.9.9"},
        {"fd00::1", "2001:db8::5", "2001:db8::5"},
        {"192.168.7.130", "1.2.3.4", "192.168.7.130"},
        {"192.168.7.127", "1.2.3.4", "1.2.3.4"},
    };
    Arena arena;
    Err err;
    Proxies proxies;
    arena_init(&arena, KiB(4));
    ck_assert(proxies_read(&proxies, "10.0.0.0/8, fd00::/8,::1, 192.168.7.0/25", &arena, &err));
    for (size_t i = 0; i < LEN(cases); i++) {
        Str client =
            proxies_client(&proxies, str_from(cases[i].peer), str_from(cases[i].forwarded));
        ck_assert_str_is(client, cases[i].client);
    }
    static const char *const bad[] = {"10.0.0.0/33", "::1/129", "host", "10.0.0.0/", "1.2.3"};
    for (size_t i = 0; i < LEN(bad); i++) {
        ck_assert_msg(!proxies_read(&proxies, bad[i], &arena, &err), "%s", bad[i]);
    }
    ck_assert(proxies_read(&proxies, "", &arena, &err));
    ck_assert(!proxies_trust(&proxies, STR("127.0.0.1")));
    arena_release(&arena);
}
END_TEST

START_TEST(addresses_are_written)
{
    char text[ADDRESS_CHARS];
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    ck_assert_int_eq(inet_pton(AF_INET6, "::ffff:192.0.2.1", &v6.sin6_addr), 1);
    address_write(text, (const struct sockaddr *)&v6);
    ck_assert_str_eq(text, "192.0.2.1");
    ck_assert_int_eq(inet_pton(AF_INET6, "2001:db8::1", &v6.sin6_addr), 1);
    address_write(text, (const struct sockaddr *)&v6);
    ck_assert_str_eq(text, "2001:db8::1");
    address_write(text, NULL);
    ck_assert_str_eq(text, "unknown");
}
END_TEST

UNIT_MAIN("limit", a_burst_is_allowed_and_then_no_more, nothing_is_limited_at_zero,
          tries_at_one_login_are_few_and_from_one_address_more, threads_share_one_allowance,
          clients_are_found_behind_trusted_proxies, addresses_are_written)
