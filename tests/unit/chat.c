/* Conversations: ids as the template gives them, targets one by one. */
#include "chat.h"
#include "tokens.h"

static const struct gv_chat_how plain;

/* "id:target:bytes ..." with tokens as text, "." for no target. */
static const char *
show(const struct gv_tokenizer *t, const struct gv_rendered *r, size_t from)
{
	static char out[4000];
	size_t i, k = 0, n;

	for (i = from; i < r->n; i++) {
		const char *s = gv_token_bytes(t, r->token[i], &n);

		k += (size_t)snprintf(out + k, sizeof out - k, "%s%.*s>",
		    i > from ? " " : "", (int)n, s);
		if (r->target[i] < 0) {
			k += (size_t)snprintf(out + k, sizeof out - k, ".");
			if (r->bytes[i])
				bail("show", "bytes without target");
			continue;
		}
		s = gv_token_bytes(t, r->target[i], &n);
		k += (size_t)snprintf(out + k, sizeof out - k, "%.*s%d", (int)n,
		    s, (int)r->bytes[i]);
	}
	return out;
}

static void
chat_is(const struct gv_tokenizer *t, const char *messages, int rows,
    bool prompt, const char *want, const char *what)
{
	const struct gv_chat_how how = {.image_rows = rows, .prompt = prompt};
	struct gv_rendered r = {0};
	struct gv_error e = {0};
	json_t *m = json(messages);

	must(gv_chat(t, &how, m, NULL, &r, &e), &e);
	is_str(show(t, &r, 0), want, "%s", what);
	gv_rendered_free(&r);
	json_decref(m);
}

static void
chat_fails(const struct gv_tokenizer *t, const char *messages, int rows,
    int code, const char *says)
{
	const struct gv_chat_how how = {.image_rows = rows};
	struct gv_rendered r = {0};
	struct gv_error e = {0};
	json_t *m = json("[{\"role\":\"user\",\"content\":\"a\"}]");
	size_t n;

	must(gv_chat(t, &how, m, NULL, &r, &e), &e);
	n = r.n;
	json_decref(m);
	m = json(messages);
	ok(gv_chat(t, &how, m, NULL, &r, &e) == code && strstr(e.msg, says) &&
		r.n == n && !r.images,
	    "%s: %s", messages, e.msg);
	gv_rendered_free(&r);
	json_decref(m);
}

/* ---- the two templates, target by target --------------------------------- */

#define USER(s) "{\"role\":\"user\",\"content\":" s "}"
#define BOT(s)  "{\"role\":\"assistant\",\"content\":" s "}"
#define SYS(s)  "{\"role\":\"system\",\"content\":" s "}"

static void
nano_targets(const struct gv_tokenizer *t)
{
	chat_is(t, "[" USER("\"q\"") "," BOT("\"zz\"") "]", 0, false,
	    "<|bos|>>. <|user_start|>>. q>. <|user_end|>>. "
	    "<|assistant_start|>>z1 z>z1 z><|assistant_end|>0 "
	    "<|assistant_end|>>.",
	    "nano: text and end are trained on");
	chat_is(t, "[" USER("\"q\"") "," BOT("\"z\"") "]", 0, true,
	    "<|bos|>>. <|user_start|>>. q>. <|user_end|>>. "
	    "<|assistant_start|>>. z>. <|assistant_end|>>. "
	    "<|assistant_start|>>.",
	    "nano: a prompt opens a turn and trains nothing");
	chat_is(t,
	    "[" SYS("\"x\"") "," USER("[{\"type\":\"image\"},"
				      "{\"type\":\"text\",\"text\":\"q\"},"
				      "{\"type\":\"image\"}]") "]",
	    2, false,
	    "<|bos|>>. <|user_start|>>. x>. \n>. \n>. <|image|>>. <|image|>>. "
	    "q>. <|image|>>. <|image|>>. <|user_end|>>.",
	    "nano: system text, images in their places");
	chat_is(t,
	    "[" USER("\"q\"") "," BOT(
		"[{\"type\":\"text\",\"text\":\"z\"},"
		"{\"type\":\"python\",\"text\":\"1\"},"
		"{\"type\":\"python_output\",\"text\":\"2\"},"
		"{\"type\":\"text\",\"text\":\"z\"}]") "]",
	    0, false,
	    "<|bos|>>. <|user_start|>>. q>. <|user_end|>>. "
	    "<|assistant_start|>>z1 z><|python_start|>0 <|python_start|>>11 "
	    "1><|python_end|>0 <|python_end|>>. <|output_start|>>. 2>. "
	    "<|output_end|>>z1 z><|assistant_end|>0 <|assistant_end|>>.",
	    "nano: calls are trained on, their outputs not");
	chat_is(t, "[" USER("\"<|bos|>\"") "]", 0, false,
	    "<|bos|>>. <|user_start|>>. <>. |>. b>. os>. |>. >>. "
	    "<|user_end|>>.",
	    "nano: a special token in text is text");
}

static void
chatml_targets(const struct gv_tokenizer *t)
{
	chat_is(t, "[" USER("\"q\"") "," BOT("\"zz\"") "]", 0, false,
	    "<|im_start|>>. u>. s>. er>. \n>. q>. <|im_end|>>. \n>. "
	    "<|im_start|>>. as>. si>. s>. t>. an>. t>. \n>z1 z>z1 "
	    "z><|im_end|>0 <|im_end|>>. \n>.",
	    "ChatML: text and end are trained on, not the newline");
	chat_is(t, "[" USER("[{\"type\":\"image\"}]") "]", 3, true,
	    "<|im_start|>>. u>. s>. er>. \n>. <|vision_start|>>. "
	    "<|image_pad|>>. <|image_pad|>>. <|image_pad|>>. "
	    "<|vision_end|>>. <|im_end|>>. \n>. <|im_start|>>. as>. si>. s>. "
	    "t>. an>. t>. \n>.",
	    "ChatML: an image in a prompt");
}

/* With a vocabulary that knows an empty line as one token. */
static void
straddle(void)
{
	struct gv_tokenizer *t;
	struct gv_error e = {0};
	struct gv_bpe_law law = {.vocab = 300, .chat_template = "chatml"};
	struct gv_bpe_result result;
	struct gv_bpe_train *b;

	must(gv_bpe_train_open(&b, &law, &e), &e);
	must(gv_bpe_train_add(b, "a\n\nb\n\nc", 7, &e), &e);
	must(gv_bpe_train_learn(b, &result, &e), &e);
	must(gv_bpe_train_write(b, scratch, &e), &e);
	gv_bpe_train_close(&b);
	t = open_tokenizer(scratch);
	chat_is(t, "[" BOT("\"\\nz\"") "," BOT("\"\"") "]", 0, false,
	    "<|im_start|>>. a>. s>. s>. i>. s>. t>. a>. n>. t>. \n\n>z1 "
	    "z><|im_end|>0 <|im_end|>>. \n>. <|im_start|>>. a>. s>. s>. i>. "
	    "s>. t>. a>. n>. t>. \n><|im_end|>0 <|im_end|>>. \n>.",
	    "ChatML: a token across head and text is not trained on");
	gv_tokenizer_close(&t);
}

/* ---- against Jinja and tokenizers ---------------------------------------- */

static void
rendered_is(const struct gv_tokenizer *t, const json_t *row)
{
	const json_t *want = json_object_get(row, "ids");
	bool prompt = json_is_true(json_object_get(row, "prompt"));
	const struct gv_chat_how how = {.image_rows = 1, .prompt = prompt};
	struct gv_rendered r = {0};
	struct gv_error e = {0};
	bool same;
	size_t i;

	must(gv_chat(t, &how, json_object_get(row, "messages"), NULL, &r, &e),
	    &e);
	same = r.n == json_array_size(want);
	for (i = 0; i < r.n && same; i++)
		same =
		    r.token[i] == json_integer_value(json_array_get(want, i));
	ok(same, "%s%s: the ids of the rendered template",
	    json_string_value(json_object_get(row, "template")),
	    prompt ? ", prompt" : "");
	for (i = 0; i < r.images; i++)
		same = same && r.token[r.image_at[i]] == gv_tokenizer_image(t);
	ok(same, "images stand where image_at says");
	gv_rendered_free(&r);
}

static void
golden_chats(const char *argv0, const char *name)
{
	struct gv_tokenizer *t = learn_corpus(argv0, 700, name);
	json_t *list = golden_json(argv0, "chat.json");
	size_t i, n = 0;

	for (i = 0; i < json_array_size(list); i++) {
		const json_t *row = json_array_get(list, i);

		if (strcmp(json_string_value(json_object_get(row, "template")),
			name))
			continue;
		rendered_is(t, row);
		n++;
	}
	ok(n >= 6, "%zu conversations", n);
	json_decref(list);
	gv_tokenizer_close(&t);
}

/* ---- the rest ------------------------------------------------------------ */

static void
default_system(void)
{
	static const char config[] =
	    "{\"eos_token\": {\"content\": \"<|im_end|>\"}, \"chat_template\":"
	    " \"{{ '<|im_start|>system\\nYou are a helpful assistant."
	    "<|im_end|>\\n' }}\"}";
	char path[MOST_PATH];
	struct gv_rendered r = {0};
	struct gv_error e = {0};
	struct gv_tokenizer *t;
	json_t *m = json("[" USER("\"q\"") "]");
	char *s;
	size_t n;

	write_file(in_scratch(path, "tokenizer_config.json"), config,
	    sizeof config - 1);
	t = open_tokenizer(scratch);
	must(gv_chat(t, &plain, m, NULL, &r, &e), &e);
	must(gv_decode(t, r.token, r.n, true, &s, &n, &e), &e);
	is_str(s,
	    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
	    "<|im_start|>user\nq<|im_end|>\n",
	    "a template's default system message");
	gv_free(s);
	json_decref(m);
	r.n = 0;
	m = json("[" SYS("\"x\"") "," USER("\"q\"") "]");
	must(gv_chat(t, &plain, m, NULL, &r, &e), &e);
	must(gv_decode(t, r.token, r.n, true, &s, &n, &e), &e);
	is_str(s,
	    "<|im_start|>system\nx<|im_end|>\n<|im_start|>user\nq<|im_end|>\n",
	    "gives way to one in the messages");
	gv_free(s);
	json_decref(m);
	gv_rendered_free(&r);
	gv_tokenizer_close(&t);
}

static void
errors(const struct gv_tokenizer *t)
{
	chat_fails(t, "[]", 0, GV_ERR_FORMAT, "'messages'");
	chat_fails(t, "{}", 0, GV_ERR_FORMAT, "'messages'");
	chat_fails(t, "[7]", 0, GV_ERR_FORMAT, "message 1");
	chat_fails(t, "[{\"role\":\"tool\",\"content\":\"\"}]", 0, GV_ERR_NOSUP,
	    "role 'tool'");
	chat_fails(t, "[" USER("7") "]", 0, GV_ERR_FORMAT, "'content'");
	chat_fails(t, "[" USER("[{}]") "]", 0, GV_ERR_FORMAT, "'type'");
	chat_fails(t, "[" USER("[{\"type\":\"text\"}]") "]", 0, GV_ERR_FORMAT,
	    "'text'");
	chat_fails(t, "[" USER("[{\"type\":\"video\"}]") "]", 0, GV_ERR_NOSUP,
	    "'video'");
	chat_fails(t, "[" USER("[{\"type\":\"image\"}]") "]", 0, GV_ERR_MATCH,
	    "no rows");
	chat_fails(t, "[" USER("[{\"type\":\"python\",\"text\":\"1\"}]") "]", 0,
	    GV_ERR_FORMAT, "outside");
	chat_fails(t, "[" USER("\"q\"") "," SYS("\"x\"") "]", 0, GV_ERR_FORMAT,
	    "not the first");
	chat_fails(t, "[" SYS("\"x\"") "]", 0, GV_ERR_FORMAT, "no user turn");
	chat_fails(t, "[" SYS("\"x\"") "," BOT("\"a\"") "]", 0, GV_ERR_FORMAT,
	    "no user turn");
}

static void
sequences(const struct gv_tokenizer *t)
{
	const struct gv_chat_how how = {.image_rows = 2};
	struct gv_rendered r = {0};
	struct gv_error e = {0};
	json_t *m =
	    json("[" USER("[{\"type\":\"image\"}]") "," BOT("\"z\"") "]");
	size_t one;

	must(gv_chat(t, &how, m, NULL, &r, &e), &e);
	one = r.n;
	must(gv_chat(t, &how, m, NULL, &r, &e), &e);
	is_int((long long)r.n, 2 * (long long)one, "two sequences in one");
	is_int(r.target[one - 1], -1, "targets don't cross");
	is_int(r.image_at[1], (long long)one + r.image_at[0],
	    "positions count on");
	is_int((long long)r.images, 2, "two images");
	json_decref(m);
	r.n = 0;
	must(gv_document(t, "q\xff", 2, 1, &r, &e), &e);
	is_str(show(t, &r, 0),
	    "<|bos|>>q1 q>\xff"
	    "1 \xff><|bos|>0",
	    "nano: a document, and the next one's start as its end");
	r.n = 0;
	must(gv_document(t, "", 0, 1, &r, &e), &e);
	is_str(show(t, &r, 0), "<|bos|>><|bos|>0", "an empty one");
	gv_rendered_free(&r);
}

int
main(int argc, char **argv)
{
	struct gv_rendered r = {0};
	struct gv_error e = {0};
	struct gv_tokenizer *t;
	char path[MOST_PATH];
	json_t *m = json("[" USER("\"q\"") "]");

	(void)argc;
	make_scratch();
	golden_chats(argv[0], "nano");
	golden_chats(argv[0], "chatml");
	t = learn_corpus(argv[0], 700, "nano");
	nano_targets(t);
	errors(t);
	sequences(t);
	gv_tokenizer_close(&t);
	t = learn_corpus(argv[0], 700, "chatml");
	chatml_targets(t);
	must(gv_document(t, "q", 1, 1, &r, &e), &e);
	is_str(show(t, &r, 0), "q><|endoftext|>0 <|endoftext|>>.",
	    "ChatML: a document and its end");
	default_system();
	straddle();
	gv_tokenizer_close(&t);
	t = open_tokenizer(golden(path, argv[0], "regex"));
	ok(gv_chat(t, &plain, m, NULL, &r, &e) == GV_OK,
	    "a vocabulary needs no config file");
	gv_tokenizer_close(&t);
	gv_rendered_free(&r);
	json_decref(m);
	cleanup();
	return done();
}
