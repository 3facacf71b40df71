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

int serve_command(int argc, char **argv);
int migrate_command(int argc, char **argv);
int user_command(int argc, char **argv);
int link_command(int argc, char **argv);
int project_command(int argc, char **argv);
int member_command(int argc, char **argv);
int key_command(int argc, char **argv);
int upstream_command(int argc, char **argv);
int label_command(int argc, char **argv);
int import_command(int argc, char **argv);
int export_command(int argc, char **argv);
int snapshot_command(int argc, char **argv);
int erase_command(int argc, char **argv);
int doctor_command(int argc, char **argv);

#endif
