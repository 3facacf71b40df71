/* demo.h - the demo project's rows, in the `aileron` format, embedded at build. */
#ifndef AILERON_DEMO_H
#define AILERON_DEMO_H

#include "../base/str.h"

Str demo_rows(void); /* lives as long as the program */

#endif
