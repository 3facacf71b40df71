/* parallel_place.c - which of how many processes this is, from what its launcher has set. */
#include <stdlib.h>

#include "parallel.h"

typedef struct Launcher {
    const char *name, *rank, *world, *local_rank, *local_world;
} Launcher;

/* The first of which rank and world are both set. Whatever else starts processes can set the first
 * line's names itself. */
static const Launcher launchers[] = {
    {"torchrun", "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"},
    {"mpirun", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK",
     "OMPI_COMM_WORLD_LOCAL_SIZE"},
    {"Kubernetes", "JOB_COMPLETION_INDEX", "WORLD_SIZE", NULL, NULL},
};

static const char *setting(const char *name)
{
    const char *value = name ? getenv(name) : NULL;
    return value && value[0] ? value : NULL;
}

/* *out stays as it is where the name is not set. */
static bool read_count(const char *name, int64_t least, int64_t most, int64_t *out, Arena *arena,
                       Err *err)
{
    const char *value = setting(name);
    char *end;
    if (!value) return true;
    long long number = strtoll(value, &end, 10);
    if (*end != '\0' || number < least || number > most)
        return err_set(err, arena, ERR_invalid, NULL, "%s is \"%s\": it must be %lld to %lld", name,
                       value, (long long)least, (long long)most);
    *out = number;
    return true;
}

static bool read_place(const Launcher *launcher, ParallelPlace *place, Arena *arena, Err *err)
{
    int64_t world = 1, rank = 0, local_rank = 0, local_world = 1, port = PARALLEL_PORT;
    int64_t own_port = 0, timeout_s = PARALLEL_TIMEOUT_S;
    const char *agent = setting("TORCHELASTIC_USE_AGENT_STORE");
    if (!read_count(launcher->world, 1, PARALLEL_RANKS_MAX, &world, arena, err) ||
        !read_count(launcher->rank, 0, world - 1, &rank, arena, err) ||
        !read_count(launcher->local_rank, 0, world - 1, &local_rank, arena, err) ||
        !read_count(launcher->local_world, 1, world, &local_world, arena, err) ||
        !read_count("MASTER_PORT", 1, 65534, &port, arena, err) ||
        !read_count("AILERON_PARALLEL_PORT", 1, 65535, &own_port, arena, err) ||
        !read_count("AILERON_PARALLEL_TIMEOUT", 1, 86400, &timeout_s, arena, err))
        return false;
    /* torchrun itself listens on MASTER_PORT, and says so */
    if (agent && strcmp(agent, "True") == 0) port++;
    *place = (ParallelPlace){.rank = (int32_t)rank,
                             .world = (int32_t)world,
                             .local_rank = (int32_t)local_rank,
                             .local_world = (int32_t)local_world,
                             .launcher = launcher->name,
                             .address = setting("MASTER_ADDR"),
                             .port = (int32_t)(own_port ? own_port : port),
                             .timeout_ms = timeout_s * 1000};
    if (world == 1 || place->address) return true;
    if (local_world == world) { /* all on this machine */
        place->address = "127.0.0.1";
        return true;
    }
    return err_set(err, arena, ERR_invalid, NULL,
                   "%s says that this is one of %lld processes, but MASTER_ADDR, the address of "
                   "rank 0, is not set",
                   launcher->world, (long long)world);
}

bool parallel_place(ParallelPlace *place, Arena *arena, Err *err)
{
    *place = (ParallelPlace){.world = 1, .local_world = 1, .launcher = "nobody"};
    for (size_t i = 0; i < LEN(launchers); i++)
        if (setting(launchers[i].rank) && setting(launchers[i].world))
            return read_place(&launchers[i], place, arena, err);
    return true;
}

void parallel_print_help(FILE *out)
{
    static const char *const others[][2] = {
        {"MASTER_ADDR", "address of rank 0 (where all run on one machine: 127.0.0.1)"},
        {"MASTER_PORT",
         "rank 0 listens there until all have joined (29500; under torchrun one more)"},
        {"AILERON_PARALLEL_PORT", "a port instead of that"},
        {"AILERON_PARALLEL_TIMEOUT", "seconds within which all must have joined (300)"},
        {"AILERON_PARALLEL_SECRET", "who does not know it cannot join"},
    };
    fprintf(out, "\nSeveral processes train together when their launcher has set:\n");
    for (size_t i = 0; i < LEN(launchers); i++)
        fprintf(out, "  %-11s %s, %s%s%s\n", launchers[i].name, launchers[i].rank,
                launchers[i].world, launchers[i].local_rank ? ", " : "",
                launchers[i].local_rank ? launchers[i].local_rank : "");
    for (size_t i = 0; i < LEN(others); i++)
        fprintf(out, "  %-25s %s\n", others[i][0], others[i][1]);
}
