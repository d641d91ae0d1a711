/* Directories appear whole, replace only models, and leave nothing behind. */
#include "dir.h"
#include "tap.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char root[] = "/tmp/gv-dir-XXXXXX";

/* Names in a directory but . and .. */
static int
entries(const char *path)
{
	DIR *d = opendir(path);
	int n = 0;

	if (!d)
		return -1;
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

static void
put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
	ssize_t n = write(fd, text, strlen(text));

	if (n < 0 || close(fd))
		printf("# cannot write %s\n", path);
}

static const char *
get(const char *path)
{
	static char buf[256];
	int fd = open(path, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof buf - 1);

	if (fd >= 0)
		close(fd);
	buf[n < 0 ? 0 : n] = '\0';
	return n < 0 ? NULL : buf;
}

/* Builds a model directory with one word in it. */
static int
save(const char *path, const char *word, struct gv_error *e)
{
	struct gv_dir *d;
	char buf[GV_PATH_MAX];

	if (gv_dir_begin(&d, path, e))
		return e->code;
	put(gv_dir_path(d, "config.json", buf), word);
	return gv_dir_commit(&d, e);
}

static void
commits(void)
{
	struct gv_error e = {0};

	is_int(save("m", "one", &e), 0, "a new directory appears");
	is_str(get("m/config.json"), "one", "with its file");
	is_int(entries("."), 1, "and nothing beside it");
	is_int(save("m/", "two", &e), 0, "a model is replaced");
	is_str(get("m/config.json"), "two", "by the new one");
	is_int(entries("."), 1, "and the old one is gone");
	ok(!symlink("m", "l") && !save("l", "three", &e),
	    "a link to a model is followed: %s", e.msg);
	is_str(get("m/config.json"), "three", "its target is replaced");
	is_int(entries("."), 2, "and the link stays");
	unlink("l");
	mkdir("empty", 0777);
	is_int(save("empty", "x", &e), 0, "an empty directory is replaced");
	is_int(gv_dir_remove("empty", &e), 0, "a directory is removed");
	is_int(entries("."), 1, "without a trace");
	is_int(gv_remove_tree("not-there", &e), 0, "nothing there is no error");
}

static void
refusals(void)
{
	struct gv_error e = {0};
	struct gv_dir *d, *other;
	char buf[GV_PATH_MAX];

	mkdir("home", 0777);
	put("home/thesis", "ten years of work");
	is_int(save("home", "x", &e), GV_ERR_MATCH, "no model, no replacing");
	is_str(e.msg,
	    "not replacing directory 'home': it holds other things than a "
	    "model",
	    "and it says why");
	is_str(get("home/thesis"), "ten years of work", "nothing was lost");
	gv_error_clear(&e);
	put("file", "x");
	is_int(save("file", "x", &e), GV_ERR_MATCH, "a file is not replaced");
	gv_error_clear(&e);
	is_int(save(".", "x", &e), GV_ERR_MATCH, "nor is '.'");
	gv_error_clear(&e);
	is_int(save("/", "x", &e), GV_ERR_MATCH, "nor '/'");
	gv_error_clear(&e);
	is_int(save("no/such/m", "x", &e), GV_ERR_SYS, "a parent must exist");
	gv_error_clear(&e);
	ok(!symlink("nowhere", "l") && save("l", "x", &e) == GV_ERR_SYS,
	    "a dangling link is refused");
	gv_error_clear(&e);

	/* what appears between begin and commit is not replaced, either */
	is_int(gv_dir_begin(&d, "late", &e), 0, "begin");
	put(gv_dir_path(d, "config.json", buf), "x");
	is_int(gv_dir_begin(&other, "late", &e), GV_ERR_SYS,
	    "one builder at a time");
	gv_error_clear(&e);
	mkdir("late", 0777);
	put("late/thesis", "x");
	is_int(gv_dir_commit(&d, &e), GV_ERR_MATCH, "commit looks again");
	is_str(get("late/thesis"), "x", "and keeps what is there");
	gv_error_clear(&e);
	is_int(gv_dir_begin(&d, "gone", &e), 0, "begin");
	gv_dir_abort(&d);
	gv_dir_abort(&d);
	is_int(access("gone", F_OK), -1, "an aborted directory never was");
	ok(!gv_remove_tree("home", &e) && !gv_remove_tree("late", &e) &&
		!gv_remove_tree("l", &e) && !gv_remove_tree("file", &e),
	    "clean up: %s", e.msg);
	is_int(entries("."), 1, "no temporaries are left");
}

/* A child that dies with a directory under construction. */
static void
leave_stale(void)
{
	pid_t pid = fork();

	if (!pid) {
		struct gv_error e = {0};
		struct gv_dir *d;
		char buf[GV_PATH_MAX];

		if (!gv_dir_begin(&d, "m", &e))
			put(gv_dir_path(d, "big", buf), "half");
		raise(SIGKILL);
	}
	waitpid(pid, NULL, 0);
}

static void
stale(void)
{
	struct gv_error e = {0};
	char name[64];

	leave_stale();
	is_int(entries("."), 2, "a killed writer leaves its temporary");
	is_str(get("m/config.json"), "three", "and the old model");
	is_int(save("m", "four", &e), 0, "the next writer");
	is_int(entries("."), 1, "removes it");
	leave_stale();
	gv_dir_sweep(".");
	is_int(entries("."), 1, "so does a sweep");
	snprintf(name, sizeof name, "m.tmp.%ld", (long)getppid());
	mkdir(name, 0777);
	is_int(save("m", "five", &e), 0, "save beside a living writer");
	is_int(access(name, F_OK), 0, "whose temporary stays");
	rmdir(name);
	mkdir("m.tmp.12x", 0777);
	mkdir("other.tmp.99999999", 0777);
	is_int(save("m", "six", &e), 0, "save beside other names");
	ok(!rmdir("m.tmp.12x") && !rmdir("other.tmp.99999999"),
	    "which are not touched");
}

static void
signals(void)
{
	struct gv_error e = {0};
	struct gv_dir *d;
	char buf[GV_PATH_MAX];

	is_int(gv_dir_begin(&d, "m", &e), 0, "begin");
	put(gv_dir_path(d, "a", buf), "x");
	mkdir(gv_dir_path(d, "sub", buf), 0777);
	gv_dir_cleanup();
	is_int(access(gv_dir_tmp(d), F_OK), -1,
	    "a signal handler removes the tree");
	gv_dir_abort(&d);
}

/* Whatever instant a writer is killed at, the model is whole.  The reader
 * sees a name that leads to a directory with its file, always. */
static void
killed_writers(void)
{
	struct gv_error e = {0};
	int round, torn = 0, reads = 0, changes = 0;
	struct stat st;
	ino_t was = 0;

	for (round = 0; round < 20; round++) {
		pid_t pid = fork();
		int i;

		if (!pid) {
			for (i = 0;; i++)
				if (save("m", i % 2 ? "odd" : "even", &e))
					_exit(1);
		}
		for (i = 0; i < 2000000 && changes < 2 * round + 2;
		     i++, reads++) {
			torn += stat("m/config.json", &st) != 0;
			changes += st.st_ino != was;
			was = st.st_ino;
		}
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		torn += !get("m/config.json");
	}
	ok(changes >= 20, "%d replacements were seen", changes);
	is_int(torn, 0, "%d reads and 20 kills saw a whole model", reads);
	is_int(save("m", "end", &e), 0, "the last writer: %s", e.msg);
	is_int(entries("."), 1, "leaves a clean place");
}

static void
locks(void)
{
	struct gv_error e = {0};
	struct gv_lock *a = NULL, *b = NULL;
	char want[64];
	pid_t pid;
	int pipe_fd[2], status;
	char c;

	is_int(gv_lock(&a, "run/", &e), 0, "a lock is taken");
	is_int(gv_lock(&b, "run", &e), GV_ERR_SYS, "a second one is refused");
	snprintf(want, sizeof want, "'run' is in use by process %ld",
	    (long)getpid());
	is_str(e.msg, want, "and names the owner");
	gv_error_clear(&e);
	gv_unlock(&a);
	gv_unlock(&a);
	is_int(access("run.lock", F_OK), -1, "the file goes with the lock");
	if (pipe(pipe_fd))
		return;
	pid = fork();
	if (!pid) {
		c = (char)!gv_lock(&b, "run", &e);
		if (write(pipe_fd[1], &c, 1) == 1)
			pause();
		_exit(1);
	}
	ok(read(pipe_fd[0], &c, 1) == 1 && c, "another process locks");
	is_int(gv_lock(&a, "run", &e), GV_ERR_SYS, "and keeps us out");
	gv_error_clear(&e);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	is_int(gv_lock(&a, "run", &e), 0, "until it is killed");
	gv_unlock(&a);
}

static void
links(void)
{
	struct gv_error e = {0};
	char buf[64];
	ssize_t n;

	is_int(gv_link_replace("latest", "step-1", &e), 0, "a link is made");
	is_int(gv_link_replace("latest", "step-2", &e), 0, "and replaced");
	n = readlink("latest", buf, sizeof buf - 1);
	buf[n < 0 ? 0 : n] = '\0';
	is_str(buf, "step-2", "by one that leads to the new target");
	unlink("latest");
	mkdir("latest", 0777);
	is_int(gv_link_replace("latest", "x", &e), GV_ERR_SYS,
	    "a directory is not replaced by a link");
	rmdir("latest");
	gv_error_clear(&e);
	put("from", "some text");
	ok(!gv_copy_file("from", "to", &e), "a file is copied");
	is_str(get("to"), "some text", "all of it");
	is_int(
	    gv_copy_file("m", "to2", &e), GV_ERR_SYS, "a directory is no file");
	is_int(access("to2", F_OK), -1, "and makes none");
	unlink("from");
	unlink("to");
	is_int(entries("."), 1, "nothing else is left");
}

int
main(void)
{
	struct gv_error e = {0};

	if (!mkdtemp(root) || chdir(root))
		return 1;
	commits();
	refusals();
	stale();
	signals();
	killed_writers();
	locks();
	links();
	ok(!chdir("/") && !gv_remove_tree(root, &e), "remove everything");
	return done();
}
