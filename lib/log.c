/* JSON lines, appended with one write each. */
#include "log.h"

#include "io.h"
#include "json.h"
#include "mem.h"
#include "banned.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

struct gv_log {
	int fd;
	char *path;
};

int
gv_log_open(struct gv_log **l, const char *path, struct gv_error *e)
{
	struct gv_log *n = gv_alloc(1, sizeof *n);

	if (!n || !(n->path = gv_strdup(path))) {
		gv_free(n);
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	}
	n->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	if (n->fd < 0) {
		gv_fail(e, GV_ERR_SYS, "cannot open '%s':", path);
		gv_free(n->path);
		gv_free(n);
		return e->code;
	}
	*l = n;
	return 0;
}

int
gv_log_line(struct gv_log *l, const json_t *o, struct gv_error *e)
{
	char *s;
	size_t n;
	int r;

	if (!l)
		return 0;
	s = gv_json_text(o, JSON_COMPACT | JSON_REAL_PRECISION(9));
	if (!s)
		return gv_fail(e, GV_ERR_NOMEM, "out of memory");
	n = strlen(s);
	s[n] = '\n'; /* the NUL's place: the line is written by length */
	r = gv_write_full(l->fd, s, n + 1);
	gv_free(s);
	if (r)
		return gv_fail(e, GV_ERR_SYS, "cannot write '%s':", l->path);
	return 0;
}

int
gv_log_close(struct gv_log **l, struct gv_error *e)
{
	struct gv_log *o = *l;
	int r = 0;

	if (!o)
		return 0;
	*l = NULL;
	if (close(o->fd))
		r = gv_fail(e, GV_ERR_SYS, "cannot write '%s':", o->path);
	gv_free(o->path);
	gv_free(o);
	return r;
}
