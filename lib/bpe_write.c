/* Chat templates, and a learned vocabulary as Hugging Face's files. */
#include "bpe_train_priv.h"

#include "io.h"
#include "json.h"
#include "mem.h"
#include "split.h"
#include "token_impl.h"
#include "utf8.h"
#include "banned.h"

#include <jansson.h>

/* ---- templates ----------------------------------------------------------- */

/* What gv_chat() renders, for others to render.  An image is one placeholder
 * here; who knows its rows repeats it. */
#define PARTS(image, tools) \
	"{%- macro parts(content) -%}\n" \
	"{%- if content is string -%}{{- content -}}\n" \
	"{%- else -%}\n" \
	"{%- for part in content -%}\n" \
	"{%- if part.type == 'image' -%}{{- '" image "' -}}\n" tools \
	"{%- else -%}{{- part.text -}}\n" \
	"{%- endif -%}\n" \
	"{%- endfor -%}\n" \
	"{%- endif -%}\n" \
	"{%- endmacro -%}\n"

static const char nano_jinja[] =
    PARTS("<|image|>", "{%- elif part.type == 'python' -%}"
		       "{{- '<|python_start|>' + part.text + '<|python_end|>' "
		       "-}}\n"
		       "{%- elif part.type == 'python_output' -%}"
		       "{{- '<|output_start|>' + part.text + '<|output_end|>' "
		       "-}}\n") "{{- '<|bos|>' -}}\n"
				"{%- set ns = namespace(system='') -%}\n"
				"{%- for message in messages -%}\n"
				"{%- if message.role == 'system' -%}\n"
				"{%- set ns.system = message.content + "
				"'\\n\\n' -%}\n"
				"{%- elif message.role == 'user' -%}\n"
				"{{- '<|user_start|>' + ns.system + "
				"parts(message.content)"
				" + '<|user_end|>' -}}\n"
				"{%- set ns.system = '' -%}\n"
				"{%- else -%}\n"
				"{{- '<|assistant_start|>' + "
				"parts(message.content)"
				" + '<|assistant_end|>' -}}\n"
				"{%- endif -%}\n"
				"{%- endfor -%}\n"
				"{%- if add_generation_prompt -%}{{- "
				"'<|assistant_start|>' -}}"
				"{%- endif -%}";

static const char chatml_jinja[] =
    PARTS("<|vision_start|><|image_pad|><|vision_end|>",
	"") "{%- for message in messages -%}\n"
	    "{{- '<|im_start|>' + message.role + '\\n' + parts(message.content)"
	    " + '<|im_end|>\\n' -}}\n"
	    "{%- endfor -%}\n"
	    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}"
	    "{%- endif -%}";

static const char *const nano_special[] = {"<|bos|>", "<|user_start|>",
    "<|user_end|>", "<|assistant_start|>", "<|assistant_end|>",
    "<|python_start|>", "<|python_end|>", "<|output_start|>", "<|output_end|>",
    "<|image|>", NULL};
static const char *const chatml_special[] = {"<|endoftext|>", "<|im_start|>",
    "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", NULL};

static const struct gv_chat_template templates[] = {
    {"nano", nano_special, "<|bos|>", "<|assistant_end|>", "<|bos|>",
	"<|image|>", nano_jinja},
    {"chatml", chatml_special, NULL, "<|im_end|>", "<|endoftext|>",
	"<|image_pad|>", chatml_jinja}};

const struct gv_chat_template *
gv_chat_template_find(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof templates / sizeof *templates; i++)
		if (!strcmp(templates[i].name, name))
			return &templates[i];
	return NULL;
}

/* ---- tokenizer.json ------------------------------------------------------ */

/* Token i in GPT-2's alphabet, NUL-terminated in buf. */
static const char *
spelled(const struct gv_learned *l, int32_t i, char *buf)
{
	size_t at = l->off[i], k = 0;

	for (; at < l->off[i + 1]; at++)
		k += gv_utf8_put(gv_byte_to_char((uint8_t)l->s[at]), buf + k);
	buf[k] = '\0';
	return buf;
}

static json_t *
vocabulary(const struct gv_learned *l, char *buf)
{
	json_t *o = json_object();
	int32_t i;
	int bad = !o;

	for (i = 0; i < l->n && !bad; i++)
		bad =
		    json_object_set_new(o, spelled(l, i, buf), json_integer(i));
	if (bad) {
		json_decref(o);
		return NULL;
	}
	return o;
}

static json_t *
merge_list(const struct gv_learned *l, char *buf)
{
	json_t *list = json_array();
	int bad = !list;
	size_t i;

	for (i = 0; i < l->merges && !bad; i++) {
		json_t *two = json_array();

		bad = !two ||
		      json_array_append_new(
			  two, json_string(spelled(l, l->left[i], buf))) ||
		      json_array_append_new(
			  two, json_string(spelled(l, l->right[i], buf)));
		bad |= json_array_append_new(list, two);
	}
	if (bad) {
		json_decref(list);
		return NULL;
	}
	return list;
}

static json_t *
added_list(const struct gv_learned *l, const struct gv_bpe_special *special)
{
	json_t *list = json_array();
	int bad = !list;
	size_t i;

	for (i = 0; i < special->n && !bad; i++)
		bad = json_array_append_new(
		    list, json_pack("{s:i, s:s, s:b, s:b, s:b, s:b, s:b}", "id",
			      l->n + (int)i, "content", special->text[i],
			      "single_word", 0, "lstrip", 0, "rstrip", 0,
			      "normalized", 0, "special", 1));
	if (bad) {
		json_decref(list);
		return NULL;
	}
	return list;
}

/* A part of the pipeline that works on bytes: pre-tokenizer, which may cut by
 * GPT-2's pattern, and decoder. */
static json_t *
byte_level(bool cuts)
{
	return json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel",
	    "add_prefix_space", 0, "trim_offsets", 0, "use_regex", cuts);
}

static json_t *
pre_tokenizer(const struct gv_bpe_cut *cut)
{
	json_t *first;

	if (cut->byte_level && !cut->digits)
		return byte_level(true);
	if (cut->digits)
		first = json_pack(
		    "{s:s, s:b}", "type", "Digits", "individual_digits", 1);
	else
		first = json_pack("{s:s, s:{s:s}, s:s, s:b}", "type", "Split",
		    "pattern", "Regex", cut->pattern, "behavior", "Isolated",
		    "invert", 0);
	return json_pack("{s:s, s:[o, o]}", "type", "Sequence", "pretokenizers",
	    first, byte_level(cut->byte_level));
}

static json_t *
normalizer(const struct gv_bpe_cut *cut)
{
	return cut->nfc ? json_pack("{s:s}", "type", "NFC") : json_null();
}

static json_t *
tokenizer_json(const struct gv_learned *l, const struct gv_bpe_cut *cut,
    const struct gv_bpe_special *special)
{
	size_t longest = 0;
	int32_t i;
	json_t *o = NULL;
	char *buf;

	for (i = 0; i < l->n; i++)
		if (l->off[i + 1] - l->off[i] > longest)
			longest = l->off[i + 1] - l->off[i];
	buf = gv_alloc(2 * longest + 1, 1);
	if (buf)
		o = json_pack(
		    "{s:s, s:n, s:n, s:o, s:o, s:o, s:n, s:o,"
		    " s:{s:s, s:n, s:n, s:n, s:n, s:b, s:b, s:b, s:o, s:o}}",
		    "version", "1.0", "truncation", "padding", "added_tokens",
		    added_list(l, special), "normalizer", normalizer(cut),
		    "pre_tokenizer", pre_tokenizer(cut), "post_processor",
		    "decoder", byte_level(false), "model", "type", "BPE",
		    "dropout", "unk_token", "continuing_subword_prefix",
		    "end_of_word_suffix", "fuse_unk", 0, "byte_fallback", 0,
		    "ignore_merges", 0, "vocab", vocabulary(l, buf), "merges",
		    merge_list(l, buf));
	gv_free(buf);
	return o;
}

/* ---- tokenizer_config.json ----------------------------------------------- */

/* Without a template the first special token ends a text. */
static json_t *
config_json(
    const struct gv_chat_template *tmpl, const struct gv_bpe_special *special)
{
	const struct gv_chat_template none = {
	    .eos = special->n ? special->text[0] : NULL};
	const struct gv_chat_template *t = tmpl ? tmpl : &none;
	json_t *list = json_array();
	int bad = !list;
	size_t i;

	for (i = 0; i < special->n && !bad; i++)
		bad =
		    json_array_append_new(list, json_string(special->text[i]));
	if (bad) {
		json_decref(list);
		return NULL;
	}
	return json_pack("{s:s, s:b, s:s?, s:s?, s:s?, s:s*, s:o, s:b, s:s*}",
	    "tokenizer_class", "PreTrainedTokenizerFast", "add_bos_token", 0,
	    "bos_token", t->bos, "eos_token", t->eos, "pad_token", t->pad,
	    "image_token", t->image, "additional_special_tokens", list,
	    "clean_up_tokenization_spaces", 0, "chat_template", t->jinja);
}

/* ---- files --------------------------------------------------------------- */

static int
write_json(json_t *o, const char *dir, const char *name, struct gv_error *e)
{
	size_t cap = strlen(dir) + strlen(name) + 2;
	char *path = gv_alloc(cap, 1);
	struct gv_out *out = NULL;

	if (!path || !o) {
		gv_fail(e, GV_ERR_NOMEM, "out of memory");
		goto done;
	}
	snprintf(path, cap, "%s/%s", dir, name);
	if (gv_out_open(&out, path, false, true, e) ||
	    gv_json_write(out, o, JSON_INDENT(2), e))
		gv_out_abort(&out);
	else
		(void)!gv_out_commit(&out, e); /* the code is in e */
done:
	json_decref(o);
	gv_free(path);
	return e->code;
}

int
gv_learned_write(const struct gv_learned *l, const struct gv_bpe_cut *cut,
    const struct gv_chat_template *tmpl, const struct gv_bpe_special *special,
    const char *dir, struct gv_error *e)
{
	if (write_json(
		config_json(tmpl, special), dir, "tokenizer_config.json", e))
		return e->code;
	return write_json(
	    tokenizer_json(l, cut, special), dir, "tokenizer.json", e);
}
