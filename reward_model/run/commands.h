/* commands.h - the commands of aileron-rm; main.c holds their table.
 *
 * Each gets its own words (argv[0] is its name) and returns the exit status: 0 done, 1 failed,
 * 2 wrong usage, 3 done but some rows refused. */
#ifndef AILERON_RM_COMMANDS_H
#define AILERON_RM_COMMANDS_H

int train_command(int argc, char **argv);
int evaluate_command(int argc, char **argv);
int score_command(int argc, char **argv);
int serve_scores_command(int argc, char **argv);

#endif
