/* Functions that have a safer replacement: using one does not compile. */
#ifndef GV_BANNED_H
#define GV_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#pragma GCC poison strcpy strcat strncpy strncat sprintf vsprintf gets
#pragma GCC poison strtok atoi atol atof asctime ctime gmtime localtime
#pragma GCC poison tmpnam mktemp

#endif
