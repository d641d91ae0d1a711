/* Digests follow the weights of their part and nothing else, and a remembered
 * one is believed only while the files are the same. */
#include "digest.h"
#include "dir.h"
#include "tap.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char root[] = "/tmp/gv-digest-XXXXXX";

struct one {
	const char *name;
	float value;
};

/* Writes tensors of one F32 each, and makes the file look `age` s old. */
static void
write_model(const char *path, const struct one *t, size_t n, long age)
{
	struct gv_st_entry en[8] = {0};
	struct gv_st_writer *w;
	struct gv_error e = {0};
	size_t i;

	for (i = 0; i < n; i++)
		en[i] = (struct gv_st_entry){t[i].name, GV_F32, 1, {1}};
	if (!gv_st_writer_open(&w, path, en, n, NULL, 0, &e)) {
		for (i = 0; i < n; i++)
			if (gv_st_writer_data(w, &t[i].value, 4, &e))
				break;
		if (gv_st_writer_close(&w, &e))
			printf("# %s\n", e.msg);
	}
	if (age) {
		struct timespec ts[2];

		clock_gettime(CLOCK_REALTIME, &ts[0]);
		ts[0].tv_sec -= age;
		ts[1] = ts[0];
		utimensat(AT_FDCWD, path, ts, 0);
	}
}

static const char *
digest(const char *dir, enum gv_part part)
{
	static char out[4][GV_DIGEST];
	static int turn;
	char *o = out[turn++ % 4];
	struct gv_error e = {0};

	if (gv_digest_part(dir, part, o, &e)) {
		printf("# %s\n", e.msg);
		return "error";
	}
	return o;
}

static void
parts(void)
{
	static const struct one joint[] = {{"vision_tower.vision_model.a", 1},
	    {"resampler.b", 2}, {"projector.c", 3},
	    {"language_model.model.d", 4}, {"language_model.model.e", 5}};
	static const struct one tower[] = {{"text_model.x", 9},
	    {"vision_model.a", 1}, {"vision_model.head.probe", 8}};
	static const struct one text[] = {
	    {"model.e", 5}, {"model.d", 4}, {"model.rotary_emb.inv_freq", 6}};
	struct one other[5];
	char was[GV_PARTS][GV_DIGEST];
	int p, q;

	mkdir("j", 0777);
	mkdir("v", 0777);
	mkdir("t", 0777);
	write_model("j/model.safetensors", joint, 5, 0);
	write_model("v/model.safetensors", tower, 3, 0);
	write_model("t/model.safetensors", text, 3, 0);
	for (p = 0; p < GV_PARTS; p++)
		memcpy(was[p], digest("j", (enum gv_part)p), GV_DIGEST);
	is_int((long long)strlen(was[0]), 64, "a digest is 64 hex digits");
	is_str(digest("v", GV_VISION), was[GV_VISION],
	    "a tower has it alone and joined, without its head");
	is_str(digest("t", GV_LANGUAGE), was[GV_LANGUAGE],
	    "so has a text model, in any order in the file");
	is_str(digest("t", GV_VISION), "", "a text model has no tower");
	is_str(digest("v", GV_LANGUAGE), "", "a tower has no text model");
	for (p = 0; p < GV_PARTS; p++) {
		static const int member[GV_PARTS] = {
		    [GV_RESAMPLER] = 1, [GV_PROJECTOR] = 2, [GV_LANGUAGE] = 4};
		int wrong = 0;

		memcpy(other, joint, sizeof joint);
		other[member[p]].value += 1;
		write_model("j/model.safetensors", other, 5, 0);
		for (q = 0; q < GV_PARTS; q++)
			wrong += (strcmp(digest("j", (enum gv_part)q),
				      was[q]) != 0) != (p == q);
		is_int(wrong, 0, "a changed %s changes its digest only",
		    gv_part_name((enum gv_part)p));
	}
	memcpy(other, joint, sizeof joint);
	other[3].name = "language_model.model.dd";
	write_model("j/model.safetensors", other, 5, 0);
	ok(strcmp(digest("j", GV_LANGUAGE), was[GV_LANGUAGE]) != 0,
	    "a changed name changes it");
}

/* The value by hand: the definition in digest.h. */
static void
definition(void)
{
	static const struct one text[] = {{"w", 1}};
	static const uint8_t bytes[] = {
	    'w', 0, 'F', '3', '2', 0, '(', '1', ')', 0, 0, 0, 0x80, 0x3f};
	char want[GV_DIGEST];

	mkdir("d", 0777);
	write_model("d/model.safetensors", text, 1, 0);
	if (gv_sha_of(bytes, sizeof bytes, want))
		is_str(digest("d", GV_LANGUAGE), want, "it is as defined");
}

/* Replaces the digest that the cache holds by zeros, to see who believes. */
static void
forge(void)
{
	FILE *f = fopen("c/.gv-digests.json", "r+");
	char text[4096], *at;
	size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;

	text[n] = '\0';
	at = strstr(text, "\"language\": \"");
	if (!f || !at) {
		printf("# no cache\n");
		return;
	}
	memset(at + 13, '0', 64);
	rewind(f);
	fwrite(text, 1, n, f);
	fclose(f);
}

static void
cache(void)
{
	static const struct one text[] = {{"w", 1}};
	struct one changed = {"w", 2};
	char was[GV_DIGEST], zero[GV_DIGEST];
	struct stat st;
	struct timespec ts[2];
	int fd;

	memset(zero, '0', 64);
	zero[64] = '\0';
	mkdir("c", 0777);
	write_model("c/model.safetensors", text, 1, 0);
	memcpy(was, digest("c", GV_LANGUAGE), sizeof was);
	is_int(access("c/.gv-digests.json", F_OK), -1,
	    "young weights are not remembered");
	usleep(2100000);
	is_str(digest("c", GV_LANGUAGE), was, "older ones");
	is_int(access("c/.gv-digests.json", F_OK), 0, "are");
	forge();
	is_str(digest("c", GV_LANGUAGE), zero, "and believed");

	/* other bytes, the size, inode and mtime of before */
	stat("c/model.safetensors", &st);
	fd = open("c/model.safetensors", O_WRONLY);
	if (pwrite(fd, &changed.value, 4, st.st_size - 4) != 4)
		printf("# cannot write\n");
	close(fd);
	ts[0] = st.st_atim;
	ts[1] = st.st_mtim;
	utimensat(AT_FDCWD, "c/model.safetensors", ts, 0);
	ok(strcmp(digest("c", GV_LANGUAGE), zero) &&
		strcmp(digest("c", GV_LANGUAGE), was),
	    "not after a change that hides its time");

	write_model("c/model.safetensors", text, 1, 10);
	is_str(digest("c", GV_LANGUAGE), was, "nor of a replaced file");
	fd = open("c/.gv-digests.json", O_WRONLY | O_TRUNC | O_CREAT, 0666);
	if (write(fd, "{\"files\":", 9) != 9)
		printf("# cannot write\n");
	close(fd);
	is_str(digest("c", GV_LANGUAGE), was, "a damaged cache is ignored");
}

static void
unwritable(void)
{
	static const struct one text[] = {{"w", 1}};
	struct gv_error e = {0};
	struct gv_st *s;
	char a[GV_DIGEST], b[GV_DIGEST];

	mkdir("r", 0777);
	mkdir("r/.gv-digests.json", 0777); /* can't be replaced, even by root */
	write_model("r/model.safetensors", text, 1, 0);
	is_int((long long)strlen(digest("r", GV_LANGUAGE)), 64,
	    "nowhere to remember is no error");
	is_int(gv_st_open_dir(&s, "r", &e), 0, "open");
	is_int(gv_digest_weights(s, NULL, GV_LANGUAGE, a, &e), 0, "no cache");
	gv_st_close(&s);
	is_int(gv_digest_part("r", GV_LANGUAGE, b, &e), 0, "with one");
	is_str(a, b, "gives the same");
	is_int(gv_digest_part("none", GV_LANGUAGE, b, &e), GV_ERR_FORMAT,
	    "no model is one: %s", e.msg);
}

int
main(void)
{
	struct gv_error e = {0};

	if (!mkdtemp(root) || chdir(root))
		return 1;
	parts();
	definition();
	cache();
	unwritable();
	ok(!chdir("/") && !gv_remove_tree(root, &e), "remove everything");
	return done();
}
