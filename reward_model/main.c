/* main.c - build/aileron-rm: the table of commands. */
#include <stdio.h>

int main(void)
{
    fputs("aileron-rm: no command is there yet\n", stderr);
    return 2;
}
