/* mkmodel: a model directory with random weights and a small vocabulary.
 *
 *	mkmodel DIR SEED
 *
 * makes DIR: the preset vlm_tiny, its vocabulary learned from a few words.
 */
#include "bpe_train.h"
#include "config.h"
#include "model.h"
#include "token.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static const char words[] =
    "what is the shape in the image? what colour is it? red green blue "
    "circle square triangle rectangle yes no there is a which of these two "
    "is larger say something long about the blue square";

int
main(int argc, char **argv)
{
	json_t *o = gv_config_preset("vlm_tiny");
	struct gv_tokenizer *t = NULL;
	struct gv_bpe_law law = {.vocab = 320, .chat_template = "nano"};
	struct gv_bpe_result result;
	struct gv_bpe_train *b = NULL;
	struct gv_config c;
	struct gv_model *m = NULL;
	struct gv_error e = {0};
	struct gvk *k = NULL;

	if (argc != 3 || mkdir(argv[1], 0777))
		return 2;
	if (gv_bpe_train_open(&b, &law, &e) ||
	    gv_bpe_train_add(b, words, sizeof words - 1, &e) ||
	    gv_bpe_train_learn(b, &result, &e) ||
	    gv_bpe_train_write(b, argv[1], &e) ||
	    gv_tokenizer_open(&t, argv[1], &e))
		goto out;
	json_object_set_new(json_object_get(o, "text_config"), "vocab_size",
	    json_integer(gv_tokenizer_size(t)));
	json_object_set_new(
	    o, "image_token_id", json_integer(gv_tokenizer_image(t)));
	if (gv_backend_open(&k, "cpu", 1, &e) || gv_config_parse(&c, o, &e) ||
	    gv_model_new(&m, k, &c, ~0u, &e) ||
	    gv_model_init(m, strtoull(argv[2], NULL, 10), &e) ||
	    gv_model_save(m, argv[1], GV_F32, &e))
		goto out;
out:
	if (e.code)
		fprintf(stderr, "mkmodel: %s\n", e.msg);
	gv_model_close(&m);
	gvk_close(&k);
	gv_tokenizer_close(&t);
	gv_bpe_train_close(&b);
	json_decref(o);
	return e.code != 0;
}
