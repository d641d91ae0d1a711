/* The chat templates that are built in, and which of them a model's is. */
#include "chat_impl.h"

#include "dir.h"
#include "io.h"
#include "json.h"
#include "mem.h"
#include "banned.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_TEXT ((size_t)1 << 20) /* of a template */

#define QWEN \
	"You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
#define SMOLLM \
	"You are a helpful AI assistant named SmolLM, trained by Hugging Face"

/* In the order in which they are looked for.  A template that does more than
 * those that are known must not pass for one of them, so each says what its
 * text may not have. */
static const struct gv_chat_form forms[] = {
    {.name = "nano",
	.write = gv_chat_nano,
	.vocabulary = "<|user_start|>",
	.stop = {"<|assistant_end|>", "<|bos|>"},
	.of = {"<|user_start|>", "<|assistant_end|>"}},
    {.name = "smolvlm",
	.write = gv_chat_smolvlm,
	.vocabulary = "<end_of_utterance>",
	.begin = "<|im_start|>",
	.stop = {"<end_of_utterance>"},
	.of = {"<end_of_utterance>", "<image>", "capitalize", "<|im_start|>"}},
    {.name = "idefics3",
	.write = gv_chat_smolvlm,
	.begin = "<|begin_of_text|>",
	.stop = {"<end_of_utterance>"},
	.of = {"<end_of_utterance>", "<image>", "capitalize",
	    "<|begin_of_text|>"}},
    {.name = "qwen3",
	.write = gv_chat_qwen3,
	.stop = {"<|im_end|>", "<|endoftext|>"},
	.of = {"<|im_start|>", "You may call one or more functions to assist",
	    "enable_thinking", "last_query_index"},
	.not_of = {"<function=", "preserve_thinking", "vision"}},
    {.name = "qwen2.5",
	.write = gv_chat_qwen25,
	.stop = {"<|im_end|>", "<|endoftext|>"},
	.system = QWEN,
	.of = {"<|im_start|>", "You may call one or more functions to assist",
	    "<tool_response>"},
	.not_of = {"<function=", "think", "vision"}},
    {.name = "smollm2",
	.write = gv_chat_chatml,
	.stop = {"<|im_end|>", "<|endoftext|>"},
	.system = SMOLLM,
	.of = {"<|im_start|>", SMOLLM "<|im_end|>"},
	.not_of = {"think", "tool"}},
    {.name = "chatml",
	.write = gv_chat_chatml,
	.vocabulary = "<|im_start|>",
	.stop = {"<|im_end|>", "<|endoftext|>"},
	.of = {"<|im_start|>", "<|im_end|>"},
	.not_of = {"think", "tool", "function", "strftime"}},
    {.name = "llama3.1",
	.write = gv_chat_llama31,
	.stop = {"<|eot_id|>", "<|eom_id|>"},
	.of = {"<|start_header_id|>", "Cutting Knowledge Date: December 2023",
	    "Environment: ipython", "tools_in_user_message"},
	.not_of = {"think", "<tool_call>"}},
    {.name = "llama3",
	.write = gv_chat_llama3,
	.vocabulary = "<|start_header_id|>",
	.stop = {"<|eot_id|>", "<|end_of_text|>"},
	.of = {"<|start_header_id|>", "<|eot_id|>", "trim"},
	.not_of = {"Cutting Knowledge", "tool", "think", "You are"}},
    {.name = "llava",
	.write = gv_chat_llava,
	.vocabulary = "<image>",
	.of = {"ASSISTANT:"},
	.not_of = {"tool", "<|im_start|>", "<|start_header_id|>", "think"}},
    {.name = "llava-hf", .write = gv_chat_llava_hf},
};

#define FORMS (sizeof forms / sizeof *forms)

const char *
gv_chat_form_name(size_t i)
{
	return i < FORMS ? forms[i].name : NULL;
}

/* ---- a model's ----------------------------------------------------------- */

static bool
is_of(const struct gv_chat_form *f, const char *text)
{
	const size_t n = sizeof f->of / sizeof *f->of;
	size_t i;

	for (i = 0; i < n && f->of[i]; i++)
		if (!strstr(text, f->of[i]))
			return false;
	if (!i)
		return false;
	for (i = 0; i < n && f->not_of[i]; i++)
		if (strstr(text, f->not_of[i]))
			return false;
	return true;
}

/* The system message that a ChatML template spells for conversations without
 * one: new memory, or NULL in *system.  False if it can't be read. */
static bool
read_system(char **system, const char *text, struct gv_error *e)
{
	static const char open[] = "<|im_start|>system", close[] = "<|im_end|>";
	const char *s = text, *end;
	size_t n;

	*system = NULL;
	while ((s = strstr(s, open))) {
		s += sizeof open - 1;
		if (!strncmp(s, "\\n", 2))
			s += 2;
		else if (*s == '\n')
			s++;
		if (strchr("'\"{}+\n ", *s))
			continue;
		end = strstr(s, close);
		if (!end)
			break;
		n = (size_t)(end - s);
		if (!n)
			continue;
		if (strcspn(s, "'\"{}\\") < n)
			return false;
		*system = gv_strndup(s, n);
		if (!*system)
			gv_fail(e, GV_ERR_NOMEM, "out of memory");
		return true;
	}
	return true;
}

static int
recognise(struct gv_tokenizer *t, const char *text, struct gv_error *e)
{
	size_t i;

	t->strange = true;
	for (i = 0; i < FORMS; i++) {
		if (!is_of(&forms[i], text))
			continue;
		if (read_system(&t->system, text, e)) {
			t->form = &forms[i];
			t->strange = false;
		}
		return e->code;
	}
	return 0;
}

/* Reads DIR/name, if it is there. */
static int
slurp(char **text, const char *dir, const char *name, struct gv_error *e)
{
	char path[GV_PATH_MAX + 32];
	size_t n;

	*text = NULL;
	snprintf(path, sizeof path, "%s/%s", dir, name);
	if (access(path, F_OK) && errno == ENOENT)
		return 0;
	return gv_slurp(path, MAX_TEXT, text, &n, e);
}

/* The text in a "chat_template": a string, or a list of named ones, of which
 * the first is the default. */
static const char *
text_in(const json_t *config)
{
	const json_t *v = json_object_get(config, "chat_template");

	if (json_is_array(v))
		v = json_object_get(json_array_get(v, 0), "template");
	return json_string_value(v);
}

/* What chat_template.json says, where nothing else does. */
static int
find_in_json(struct gv_tokenizer *t, const char *dir, struct gv_error *e)
{
	char path[GV_PATH_MAX + 32];
	const char *text;
	json_t *o;

	snprintf(path, sizeof path, "%s/chat_template.json", dir);
	if (access(path, F_OK) && errno == ENOENT)
		return 0;
	if (gv_json_load(&o, path, MAX_TEXT, e))
		return e->code;
	text = text_in(o);
	if (text)
		(void)!recognise(t, text, e);
	json_decref(o);
	return e->code;
}

int
gv_chat_find(struct gv_tokenizer *t, const char *path, const json_t *config,
    struct gv_error *e)
{
	const char *slash = strrchr(path, '/'), *said = text_in(config);
	char dir[GV_PATH_MAX], *text;
	struct stat st;

	if (!stat(path, &st) && S_ISDIR(st.st_mode))
		snprintf(dir, sizeof dir, "%s", path);
	else
		snprintf(dir, sizeof dir, "%.*s",
		    slash ? (int)(slash - path + 1) : 1, slash ? path : ".");
	if (slurp(&text, dir, "chat_template.jinja", e))
		return e->code;
	if (text || said)
		(void)!recognise(t, text ? text : said, e);
	else
		(void)!find_in_json(t, dir, e);
	gv_free(text);
	return e->code;
}

/* ---- choosing ------------------------------------------------------------ */

static const struct gv_chat_form *
named(const char *name, struct gv_error *e)
{
	char q[64], all[256] = "";
	size_t i, n = 0;

	for (i = 0; i < FORMS; i++) {
		if (!strcmp(forms[i].name, name))
			return &forms[i];
		n += (size_t)snprintf(all + n, sizeof all - n, "%s %s",
		    i ? "," : "", forms[i].name);
	}
	gv_fail(e, GV_ERR_USAGE, "there is no template '%s', but%s",
	    gv_quote(q, sizeof q, name, strlen(name)), all);
	return NULL;
}

static const struct gv_chat_form *
of_vocabulary(const struct gv_tokenizer *t)
{
	size_t i;

	for (i = 0; i < FORMS; i++)
		if (forms[i].vocabulary &&
		    gv_tokenizer_special(t, forms[i].vocabulary) >= 0)
			return &forms[i];
	return NULL;
}

const struct gv_chat_form *
gv_chat_form(const struct gv_tokenizer *t, const char *name, struct gv_error *e)
{
	const struct gv_chat_form *f;

	if (name)
		return named(name, e);
	if (t->strange) {
		gv_fail(e, GV_ERR_NOSUP,
		    "the model's chat template is none of those built in "
		    "(--template takes one of them all the same)");
		return NULL;
	}
	f = t->form ? t->form : of_vocabulary(t);
	if (!f)
		gv_fail(e, GV_ERR_NOSUP,
		    "the model has no chat template, and its vocabulary no "
		    "special tokens of one that is built in");
	return f;
}

const char *
gv_chat_of(const struct gv_tokenizer *t)
{
	struct gv_error quiet = {0};
	const struct gv_chat_form *f = gv_chat_form(t, NULL, &quiet);

	return f ? f->name : NULL;
}

size_t
gv_chat_stops(const struct gv_tokenizer *t, const char *stop[2])
{
	const struct gv_chat_form *f = t->form ? t->form : of_vocabulary(t);
	size_t n = 0, i;

	for (i = 0; f && i < 2 && f->stop[i]; i++)
		stop[n++] = f->stop[i];
	return n;
}
