/* cli.h - the subcommands of `aileron`; main.c holds their table, a file each implements them.
 *
 * run gets the command's own words (argv[0] is its name) and returns the exit status:
 * 0 done, 1 failed, 2 wrong usage, 3 done but some rows refused. */
#ifndef AILERON_CLI_H
#define AILERON_CLI_H

typedef struct Command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} Command;

int cli_serve(int argc, char **argv);
int cli_migrate(int argc, char **argv);
int cli_user(int argc, char **argv);
int cli_link_new(int argc, char **argv);
int cli_project_command(int argc, char **argv);
int cli_member(int argc, char **argv);
int cli_key(int argc, char **argv);
int cli_import(int argc, char **argv);
int cli_export(int argc, char **argv);
int cli_snapshot(int argc, char **argv);
int cli_doctor(int argc, char **argv);

#endif
