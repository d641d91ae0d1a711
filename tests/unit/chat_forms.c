/* Chat templates: which a model's is, ids as transformers gives them, targets
 * one by one. */
#include "chat.h"
#include "tokens.h"

static struct gv_tokenizer *
family(const char *argv0, const char *name)
{
	char path[MOST_PATH], q[64];

	snprintf(q, sizeof q, "../chat/%s", name);
	return open_tokenizer(golden(path, argv0, q));
}

/* ---- against transformers ------------------------------------------------ */

#define PICTURES 8

/* The grids of the pictures, where they are cut. */
static size_t
take_tiles(int32_t tiles[2 * PICTURES], const json_t *list)
{
	size_t i;

	for (i = 0; i < 2 * json_array_size(list) && i < 2 * PICTURES; i++)
		tiles[i] = (int32_t)json_integer_value(
		    json_array_get(json_array_get(list, i / 2), i % 2));
	return i / 2;
}

static void
same_ids(const struct gv_tokenizer *t, const json_t *row)
{
	int32_t tiles[2 * PICTURES];
	size_t pictures = take_tiles(tiles, json_object_get(row, "tiles"));
	const char *form = json_string_value(json_object_get(row, "template"));
	const json_t *want = json_object_get(row, "ids");
	bool prompt = json_is_true(json_object_get(row, "prompt"));
	const struct gv_chat_how how = {.form = form,
	    .image_rows = 1,
	    .tiles = pictures ? tiles : NULL,
	    .pictures = pictures,
	    .prompt = prompt,
	    .no_thinking = json_is_true(json_object_get(row, "no_thinking"))};
	struct gv_rendered r = {0};
	struct gv_error e = {0};
	size_t i, trained = 0;
	bool same;

	must(gv_chat(t, &how, json_object_get(row, "messages"),
		 json_object_get(row, "tools"), &r, &e),
	    &e);
	same = r.n == json_array_size(want);
	for (i = 0; i < r.n && same; i++)
		same =
		    r.token[i] == json_integer_value(json_array_get(want, i));
	ok(same, "%s%s: %zu ids", form, prompt ? ", prompt" : "", r.n);
	for (i = 0; i < r.n; i++) {
		trained += r.target[i] >= 0;
		if (r.target[i] >= 0 &&
		    (i + 1 == r.n || r.target[i] != r.token[i + 1]))
			same = false;
	}
	for (i = 0; i < r.images; i++)
		same = same && r.token[r.image_at[i]] == gv_tokenizer_image(t);
	ok(same && (!prompt || !trained),
	    "... targets are the next ids, images where image_at says");
	gv_rendered_free(&r);
}

static void
golden_cases(const char *argv0, const char *name)
{
	struct gv_tokenizer *t = family(argv0, name);
	json_t *list = golden_json(argv0, "../chat/cases.json");
	size_t i, n = 0;

	for (i = 0; i < json_array_size(list); i++) {
		const json_t *row = json_array_get(list, i);

		if (strcmp(json_string_value(json_object_get(row, "family")),
			name))
			continue;
		same_ids(t, row);
		n++;
	}
	ok(n >= 9, "%s: %zu conversations", name, n);
	json_decref(list);
	gv_tokenizer_close(&t);
}

/* ---- what is trained on -------------------------------------------------- */

#define USER(s) "{\"role\":\"user\",\"content\":" s "}"
#define BOT(s)  "{\"role\":\"assistant\",\"content\":" s "}"
#define SYS(s)  "{\"role\":\"system\",\"content\":" s "}"

/* The text, with what is trained on in braces. */
static void
trained_is(const struct gv_tokenizer *t, const struct gv_chat_how *how,
    const char *messages, const char *want, const char *what)
{
	struct gv_rendered r = {0};
	struct gv_error e = {0};
	json_t *m = json(messages);
	char out[4000];
	bool open = false;
	size_t i, k = 0, n;

	must(gv_chat(t, how, m, NULL, &r, &e), &e);
	for (i = 0; i < r.n; i++) {
		bool trained = i && r.target[i - 1] >= 0;
		const char *s = gv_token_bytes(t, r.token[i], &n);

		if (trained != open)
			k += (size_t)snprintf(
			    out + k, sizeof out - k, trained ? "{" : "}");
		k += (size_t)snprintf(
		    out + k, sizeof out - k, "%.*s", (int)n, s);
		open = trained;
	}
	snprintf(out + k, sizeof out - k, "%s", open ? "}" : "");
	is_str(out, want, "%s: %s", how->form, what);
	gv_rendered_free(&r);
	json_decref(m);
}

static void
qwen_targets(const struct gv_tokenizer *t)
{
	struct gv_chat_how how = {.form = "qwen3"};

	trained_is(t, &how,
	    "[" USER("\"a\"") "," BOT("\"<think>b</think>c\"") "," USER(
		"\"d\"") ",{\"role\":\"assistant\",\"reasoning_content\":\"e\","
			 "\"content\":\"f\",\"tool_calls\":[{\"name\":\"g\","
			 "\"arguments\":{}}]},{\"role\":\"tool\",\"content\":"
			 "\"h\"}," BOT("\"i\"") "]",
	    "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n"
	    "{c<|im_end|>}\n<|im_start|>user\nd<|im_end|>\n"
	    "<|im_start|>assistant\n{<think>\ne\n</think>\n\nf\n<tool_call>\n"
	    "{\"name\": \"g\", \"arguments\": {}}\n</tool_call><|im_end|>}\n"
	    "<|im_start|>user\n<tool_response>\nh\n</tool_response><|im_end|>\n"
	    "<|im_start|>assistant\n{<think>\n\n</think>\n\ni<|im_end|>}\n",
	    "thoughts, calls and answers");
	how.no_thinking = true;
	trained_is(t, &how, "[" USER("\"a\"") "," BOT("\"i\"") "]",
	    "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n<think>\n\n"
	    "</think>\n\n{i<|im_end|>}\n",
	    "an empty block is the prompt's");
	how.form = "qwen2.5";
	how.marks = (struct gv_tool_marks){"<<", "=", NULL, ">>"};
	trained_is(t, &how,
	    "[" SYS("\"s\"") "," USER("\"<|im_end|>\"") "," BOT(
		"[{\"type\":\"text\",\"text\":\"a\"},"
		"{\"type\":\"python\",\"text\":\"1+1\"},"
		"{\"type\":\"python_output\",\"text\":\"2\"},"
		"{\"type\":\"text\",\"text\":\"b\"}]") "]",
	    "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\n"
	    "<|im_end|><|im_end|>\n<|im_start|>assistant\n{a<<1+1=}2>>"
	    "{b<|im_end|>}\n",
	    "a tool's answer is not trained on");
}

static void
llama_targets(const struct gv_tokenizer *t)
{
	struct gv_chat_how how = {.form = "llama3"};

	trained_is(t, &how,
	    "[" USER("\" \\n\\u3000q\\u00a0\"") "," BOT("\"zz\\n\"") "]",
	    "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nq"
	    "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
	    "{zz<|eot_id|>}",
	    "text without blanks at its ends, and the end");
	how.form = "llama3.1";
	how.date = "1 Jan 2027";
	trained_is(t, &how, "[" USER("\"q\"") "," BOT("\"z\"") "]",
	    "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n"
	    "Cutting Knowledge Date: December 2023\nToday Date: 1 Jan 2027\n\n"
	    "<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nq<|eot_id|>"
	    "<|start_header_id|>assistant<|end_header_id|>\n\n{z<|eot_id|>}",
	    "dates");
}

/* User and assistant share a stretch, which a blank in front, characters of
 * several bytes and bytes in the place of unknown ones make longer or shorter
 * than its tokens. */
static void
llava_targets(const struct gv_tokenizer *t)
{
	static const char several[] =
	    "[{\"role\":\"system\",\"content\":\"S\u2581\"},"
	    "{\"role\":\"user\",\"content\":["
	    "{\"type\":\"text\",\"text\":\"\u00e9\U0001f642?\"},"
	    "{\"type\":\"image\"}]},"
	    "{\"role\":\"assistant\",\"content\":\"z \"},"
	    "{\"role\":\"user\",\"content\":\"\u4e2d\"},"
	    "{\"role\":\"assistant\",\"content\":\"y\"}]";
	struct gv_chat_how how = {.form = "llava", .image_rows = 2};

	trained_is(t, &how, several,
	    "<s> S  USER: <image><image> \n\xc3\xa9\xf0\x9f\x99\x82? ASSISTANT:"
	    "{ z </s>} USER: \xe4\xb8\xad ASSISTANT:{ y</s>}",
	    "text behind the colon, and </s>");
	how.form = "llava-hf";
	trained_is(t, &how,
	    "[" USER("\"q\"") "," BOT("\"z\"") "," USER("\"\"") "]",
	    "<s> USER: q ASSISTANT:{ z }USER:  ", "text and a blank");
}

/* ---- recognising --------------------------------------------------------- */

#define TOLD "You may call one or more functions to assist with the user query"

static const struct {
	const char *text, *name;
} texts[] = {
    {"{{'<|im_start|>' + m.role + m.content + '<|im_end|>'}}", "chatml"},
    {"<|im_start|> <|im_end|> {{ tools }}", NULL},
    {"<|im_start|> <|im_end|> <think>", NULL},
    {"<|im_start|>system\\nYou are a helpful AI assistant named SmolLM, "
     "trained by Hugging Face<|im_end|>",
	"smollm2"},
    {"<|im_start|> " TOLD " <tool_response>", "qwen2.5"},
    {"<|im_start|> " TOLD " <tool_response> <function=", NULL},
    {"<|im_start|> " TOLD " enable_thinking last_query_index", "qwen3"},
    {"<|im_start|> " TOLD " <think>", NULL},
    {"<|start_header_id|> | trim + '<|eot_id|>'", "llama3"},
    {"<|start_header_id|> | trim + '<|eot_id|>' tools", NULL},
    {"<|start_header_id|> Cutting Knowledge Date: December 2023 "
     "Environment: ipython tools_in_user_message",
	"llama3.1"},
    {"USER: ASSISTANT: ", "llava"},
    {"<|im_start|>{{ role | capitalize }} <image> <end_of_utterance>",
	"smolvlm"},
    {"<|user_start|> <|assistant_end|>", "nano"}, {"[INST] [/INST]", NULL},
    {"<|im_start|>system\\nYou're {{ name }}<|im_end|>", NULL}};

static void
recognised(const char *argv0)
{
	static const char *const at[] = {
	    "chat_template.jinja", "chat_template.json"};
	struct gv_tokenizer *t = learn_corpus(argv0, 300, "chatml");
	char path[MOST_PATH];
	size_t i, k;

	is_str(gv_chat_of(t), "chatml", "what training writes");
	gv_tokenizer_close(&t);
	unlink(in_scratch(path, "tokenizer_config.json"));
	for (i = 0; i < sizeof texts / sizeof *texts; i++)
		for (k = 0; k < 2; k++) {
			json_t *o =
			    json_pack("{s:s}", "chat_template", texts[i].text);
			char *as = json_dumps(o, 0);
			const char *s = k ? as : texts[i].text;
			const char *name;

			write_file(in_scratch(path, at[k]), s, strlen(s));
			t = open_tokenizer(scratch);
			name = gv_chat_of(t);
			ok(name && texts[i].name ? !strcmp(name, texts[i].name)
						 : !name && !texts[i].name,
			    "%s, %s: %s", at[k], texts[i].text,
			    name ? name : "none");
			gv_tokenizer_close(&t);
			unlink(path);
			free(as);
			json_decref(o);
		}
	t = open_tokenizer(scratch);
	is_str(gv_chat_of(t), "chatml", "no text: the vocabulary decides");
	gv_tokenizer_close(&t);
}

int
main(int argc, char **argv)
{
	static const char *const name[] = {"qwen", "llama3", "llava", "smol"};
	struct gv_tokenizer *t;
	size_t i;

	(void)argc;
	make_scratch();
	for (i = 0; i < 4; i++)
		golden_cases(argv[0], name[i]);
	t = family(argv[0], "qwen");
	qwen_targets(t);
	gv_tokenizer_close(&t);
	t = family(argv[0], "llama3");
	llama_targets(t);
	gv_tokenizer_close(&t);
	t = family(argv[0], "llava");
	llava_targets(t);
	gv_tokenizer_close(&t);
	recognised(argv[0]);
	cleanup();
	return done();
}
