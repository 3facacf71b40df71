/* main.c - `aileron-rm COMMAND`: finds the command in the table and runs it. */
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../server/base/util.h"
#include "run/commands.h"
#include "run/parallel.h"
#include "run/session.h"

typedef struct Command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} Command;

static const Command commands[] = {
    {"train", train_command, "fit a reward model to preferences"},
    {"eval", evaluate_command, "say how good it is, on rows it has not seen"},
    {"score", score_command, "add scores to lines of answers"},
    {"serve", serve_scores_command,
     "give scores over HTTP, in the shapes of vLLM, Jina and OpenRLHF"},
};

static int print_help(FILE *out, int status)
{
    fprintf(out, "usage: aileron-rm COMMAND [options]\n\n");
    for (size_t i = 0; i < LEN(commands); i++)
        fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].help);
    parallel_print_help(out);
    fprintf(out, "\n`aileron-rm COMMAND --help` tells more.\n");
    return status;
}

/* Threads that wait for each other at the end of a loop spin 1,000 times (some 20 us), then sleep.
 * libgomp, whose threads oneDNN uses too, would spin for milliseconds: where other programs want
 * the processor, that takes it from the very thread that is waited for, and steps last three to
 * five times as long (PERFORMANCE.md). libgomp reads its settings before main(), so they are for
 * the program started again. What the user has set stays. */
static void spin_briefly(char **argv)
{
    char path[PATH_MAX]; /* the program's own, so that it keeps its name among the processes */
    if (getenv("GOMP_SPINCOUNT") || getenv("OMP_WAIT_POLICY")) return;
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    if (length < 0 || setenv("GOMP_SPINCOUNT", "1000", 0) != 0) return;
    path[length] = '\0';
    execv(path, argv);
    /* where that is forbidden the results are the same */
}

int main(int argc, char **argv)
{
    spin_briefly(argv);
    signal(SIGPIPE, SIG_IGN); /* a reader that is gone is an error of write, not the end */
    if (argc < 2) return print_help(stderr, STATUS_USAGE);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0)
        return print_help(stdout, STATUS_DONE);
    for (size_t i = 0; i < LEN(commands); i++)
        if (strcmp(argv[1], commands[i].name) == 0) return commands[i].run(argc - 1, argv + 1);
    fprintf(stderr, "aileron-rm: there is no command \"%s\"\n\n", argv[1]);
    return print_help(stderr, STATUS_USAGE);
}
