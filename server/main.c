/* main.c - `aileron COMMAND`: finds the command in the table and runs it. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include "base/util.h"
#include "cli/cli.h"

enum { STATUS_DONE = 0, STATUS_USAGE = 2 };

static const Command commands[] = {
    {"serve", serve_command, "run the server, with a database of its own or a given one"},
    {"migrate", migrate_command, "bring the database schema up to date"},
    {"user", user_command, "add people"},
    {"link", link_command, "make a new one-time sign-in link"},
    {"project", project_command, "add projects"},
    {"member", member_command, "give people a role in a project"},
    {"key", key_command, "make keys for programs"},
    {"upstream", upstream_command, "say where models are served"},
    {"label", label_command, "list the rules that make labels of what people did"},
    {"import", import_command, "read prompts, answers and judgments from a file"},
    {"export", export_command, "write a project's data to a file"},
    {"snapshot", snapshot_command, "freeze, list and verify datasets"},
    {"erase", erase_command, "remove a person's words"},
    {"doctor", doctor_command, "check the installation and say what to mend"},
};

static int print_help(FILE *out, int status)
{
    fprintf(out, "usage: aileron COMMAND [options]\n\n");
    for (size_t i = 0; i < LEN(commands); i++) {
        fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].help);
    }
    fprintf(out, "\n`aileron COMMAND --help` tells more.\n");
    return status;
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN); /* a reader that is gone is an error of write, not the end */
    if (argc < 2) return print_help(stderr, STATUS_USAGE);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        return print_help(stdout, STATUS_DONE);
    }
    for (size_t i = 0; i < LEN(commands); i++) {
        if (strcmp(argv[1], commands[i].name) == 0) return commands[i].run(argc - 1, argv + 1);
    }
    fprintf(stderr, "aileron: there is no command \"%s\"\n\n", argv[1]);
    return print_help(stderr, STATUS_USAGE);
}
