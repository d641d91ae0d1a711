/* Lines for the user. */
#include "say.h"

#include <stdarg.h>
#include <stdio.h>

#include "banned.h"

void
gv_say(void (*to)(int level, const char *line), int level, const char *fmt, ...)
{
	char line[1024];
	va_list ap;

	if (!to)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	to(level, line);
}
