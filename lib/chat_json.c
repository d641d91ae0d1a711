/* JSON as Python spells it, which is what models have seen in prompts. */
#include "chat_impl.h"

#include "utf8.h"
#include "banned.h"

#include <math.h>
#include <stdlib.h>

/* The shortest digits that read as x again; as repr() has it, an exponent below
 * 1e-4 and from 1e16 on. */
static int
put_real(struct gv_pen *p, double x)
{
	char s[64], digits[24];
	int prec, exponent, n;

	for (prec = 0; prec < 17; prec++) {
		snprintf(s, sizeof s, "%.*e", prec, x);
		if (strtod(s, NULL) == x)
			break;
	}
	n = 0;
	for (prec = 0; s[prec] != 'e'; prec++)
		if (s[prec] >= '0' && s[prec] <= '9')
			digits[n++] = s[prec];
	digits[n] = '\0';
	exponent = (int)strtol(strchr(s, 'e') + 1, NULL, 10);
	if (exponent < -4 || exponent >= 16)
		return gv_pen_str(p, s);
	if (exponent < 0)
		snprintf(s, sizeof s, "%s0.%.*s%s", x < 0 ? "-" : "",
		    -exponent - 1, "000", digits);
	else if (n <= exponent + 1)
		snprintf(s, sizeof s, "%s%s%.*s.0", signbit(x) ? "-" : "",
		    digits, exponent + 1 - n, "0000000000000000");
	else
		snprintf(s, sizeof s, "%s%.*s.%s", x < 0 ? "-" : "",
		    exponent + 1, digits, digits + exponent + 1);
	return gv_pen_str(p, s);
}

static int
put_string(struct gv_pen *p, const char *s, size_t n)
{
	static const char escaped[] = "\"\\\b\f\n\r\t", as[] = "\"\\bfnrt";
	char x[8];
	size_t i;

	if (gv_pen_str(p, "\""))
		return p->e->code;
	for (i = 0; i < n; i++) {
		const char *at = s[i] ? strchr(escaped, s[i]) : NULL;

		if (at)
			snprintf(x, sizeof x, "\\%c", as[at - escaped]);
		else if ((unsigned char)s[i] < 0x20)
			snprintf(x, sizeof x, "\\u%04x", (unsigned)s[i]);
		else
			snprintf(x, sizeof x, "%c", s[i]);
		if (gv_pen_str(p, x))
			return p->e->code;
	}
	return gv_pen_str(p, "\"");
}

static int
put_break(struct gv_pen *p, int indent, int depth)
{
	int i;

	if (gv_pen_str(p, "\n"))
		return p->e->code;
	for (i = 0; i < indent * depth; i++)
		if (gv_pen_str(p, " "))
			return p->e->code;
	return 0;
}

static int put_value(struct gv_pen *p, const json_t *v, int indent, int depth);

/* What stands before item i of a list or an object. */
static int
put_comma(struct gv_pen *p, size_t i, int indent, int depth)
{
	if (i && gv_pen_str(p, indent ? "," : ", "))
		return p->e->code;
	return indent ? put_break(p, indent, depth) : 0;
}

static int
put_list(struct gv_pen *p, const json_t *v, int indent, int depth)
{
	size_t n = json_array_size(v), i;

	if (gv_pen_str(p, "["))
		return p->e->code;
	for (i = 0; i < n; i++)
		if (put_comma(p, i, indent, depth + 1) ||
		    put_value(p, json_array_get(v, i), indent, depth + 1))
			return p->e->code;
	if (n && indent && put_break(p, indent, depth))
		return p->e->code;
	return gv_pen_str(p, "]");
}

static int
put_object(struct gv_pen *p, const json_t *v, int indent, int depth)
{
	json_t *o = (json_t *)(uintptr_t)v, *value;
	const char *key;
	size_t i = 0;

	if (gv_pen_str(p, "{"))
		return p->e->code;
	json_object_foreach(o, key,
	    value) if (put_comma(p, i++, indent, depth + 1) ||
		       put_string(p, key, strlen(key)) || gv_pen_str(p, ": ") ||
		       put_value(
			   p, value, indent, depth + 1)) return p->e->code;
	if (i && indent && put_break(p, indent, depth))
		return p->e->code;
	return gv_pen_str(p, "}");
}

static int
put_value(struct gv_pen *p, const json_t *v, int indent, int depth)
{
	char s[32];

	switch (json_typeof(v)) {
	case JSON_OBJECT:
		return put_object(p, v, indent, depth);
	case JSON_ARRAY:
		return put_list(p, v, indent, depth);
	case JSON_STRING:
		return put_string(
		    p, json_string_value(v), json_string_length(v));
	case JSON_INTEGER:
		snprintf(s, sizeof s, "%" JSON_INTEGER_FORMAT,
		    json_integer_value(v));
		return gv_pen_str(p, s);
	case JSON_REAL:
		return put_real(p, json_real_value(v));
	case JSON_TRUE:
		return gv_pen_str(p, "true");
	case JSON_FALSE:
		return gv_pen_str(p, "false");
	default:
		return gv_pen_str(p, "null");
	}
}

int
gv_pen_json(struct gv_pen *p, const json_t *v, int indent)
{
	return put_value(p, v, indent, 0);
}
