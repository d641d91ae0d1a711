/* The images of a line of input: how many, and where in its messages. */
#include "render_images.h"

#include "image_refs.h"
#include "mem.h"
#include "banned.h"

int
gv_line_images(const json_t *o, size_t *n, struct gv_error *e)
{
	const json_t *v = json_object_get(o, "image");
	struct gv_image_refs list = {0};

	if (gv_image_refs(&list, v, e))
		gv_fail_in(e, "'image'");
	*n = list.n;
	gv_free(list.ref);
	return e->code;
}

size_t
gv_images_placed(const json_t *messages)
{
	size_t n = 0, i, k;

	for (i = 0; i < json_array_size(messages); i++) {
		const json_t *c =
		    json_object_get(json_array_get(messages, i), "content");

		for (k = 0; k < json_array_size(c); k++) {
			const char *type = json_string_value(
			    json_object_get(json_array_get(c, k), "type"));

			n += type && gv_image_part(type);
		}
	}
	return n;
}

/* Content with n images in front: a new list, or NULL without memory. */
static json_t *
with_images(json_t *content, size_t n)
{
	json_t *list = json_array();
	int bad = !list;
	size_t i;

	for (i = 0; i < n && !bad; i++)
		bad = json_array_append_new(
		    list, json_pack("{s:s}", "type", "image"));
	if (!bad && json_is_array(content))
		bad = json_array_extend(list, content);
	else if (!bad)
		bad = json_array_append_new(list,
		    json_pack("{s:s, s:O}", "type", "text", "text", content));
	if (bad) {
		json_decref(list);
		return NULL;
	}
	return list;
}

int
gv_images_place(
    json_t *messages, size_t images, json_t **out, struct gv_error *e)
{
	size_t here = gv_images_placed(messages), n = json_array_size(messages),
	       i;

	*out = NULL;
	if (images && here && here != images)
		return gv_fail(e, GV_ERR_MATCH,
		    "%zu images in 'image', but %zu in the messages", images,
		    here);
	if (!images || here) {
		*out = json_incref(messages);
		return 0;
	}
	for (i = 0; i < n; i++) {
		json_t *m = json_array_get(messages, i), *c, *copy;
		const char *role =
		    json_string_value(json_object_get(m, "role"));

		if (!role || strcmp(role, "user"))
			continue;
		c = json_object_get(m, "content");
		if (!json_is_string(c) && !json_is_array(c))
			break;
		c = with_images(c, images);
		copy = json_copy(m);
		*out = json_copy(messages);
		if (!c || !copy || !*out ||
		    json_object_set(copy, "content", c) ||
		    json_array_set(*out, i, copy)) {
			json_decref(*out);
			*out = NULL;
			gv_fail(e, GV_ERR_NOMEM, "out of memory");
		}
		json_decref(c);
		json_decref(copy);
		return e->code;
	}
	return gv_fail(e, GV_ERR_FORMAT,
	    "no user message with content to put the images in");
}
