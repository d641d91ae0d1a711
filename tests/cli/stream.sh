# What the tests of the stream tools share: $MK, the program mkstream, and
# streams to work on.
# shellcheck shell=sh

GV_LIBS="-lmsgpackc -ljansson -lutf8proc -lpcre2-8 -ljpeg -lpng16 -lz -lnettle
-lopenblas -ldl -lm"

# build OUT SOURCE: compiles a program against the libraries.
build() {
	# shellcheck disable=SC2086 # the libraries are a list
	${CC:-cc} -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -pthread \
	    -iquote "$SRC/lib" -iquote "$SRC/kernels" -I "$SRC/lib" -o "$1" \
	    "$2" "$B/lib/libgv.a" "$B/lib/libgvk.a" -Wl,--as-needed $GV_LIBS
}

MK=$T/mkstream
build "$MK" "$SRC/tests/cli/mkstream.c" || exit 1

# tokens FROM TO: a stream of records kFROM .. kTO.
tokens() {
	i=$1
	while [ "$i" -le "$2" ]; do
		printf '{"key":"k%d","tokens":[%d,%d,-1],"id":"id %d"}\n' \
		    "$i" "$i" $((i * i)) "$i"
		i=$((i + 1))
	done | "$MK" tokens 'tokens=I32 (T)' 'id=plain' @tokenizer=abc
}

# images FROM TO [DIGEST]: one embeds record an image.
images() {
	i=$1
	while [ "$i" -le "$2" ]; do
		printf '{"key":"k%d","embeds":[[[%d,0.5],[1,"NaN"]]]}\n' \
		    "$i" "$i"
		i=$((i + 1))
	done | "$MK" embeds 'embeds=BF16 (N,R,2)' "@vision=${3:-v1}"
}

# keys FILE: the keys of a stream, in order.
keys() {
	gv-keys <"$1" | tr '\n' ' '
}

# said DESC TEXT: the last must_fail's line on stderr holds it.
said() {
	is "$1" "$(grep -c -- "$2" "$T/.err")" 1
}

cat >"$T/gv-keys.c" <<'END'
/* gv-keys: prints the key of each record. */
#include "stream.h"
#include <stdio.h>
int
main(void)
{
	struct gv_error e = {0};
	struct gv_reader *r;
	struct gv_rec rec;

	if (gv_reader_open(&r, NULL, &e))
		return 1;
	while (gv_reader_next(r, &rec, &e) > 0)
		puts(rec.key);
	gv_reader_close(&r);
	return e.code != 0;
}
END
build "$T/gv-keys" "$T/gv-keys.c" || exit 1
PATH=$T:$PATH

# bad_input PROG [ARG...]: what each program does with input that is none,
# and with output that goes nowhere.  Needs good.gv.
bad_input() {
	prog=$1
	: >empty
	head -c 5000 /dev/urandom >random
	printf 'The quick brown fox.\n' >text
	mkdir -p dir
	head -c 300 good.gv >cut.gv
	for f in empty random text dir cut.gv missing; do
		must_fail 1 "$prog: $f" "$@" good.gv $f
	done
	for f in empty random text dir cut.gv; do
		must_fail 1 "$prog: $f as standard input" \
		    sh -c "\"\$@\" good.gv - <$f" sh "$@"
	done
	must_fail 1 "$prog: a cut pipe" \
	    sh -c 'head -c 300 good.gv | "$@" good.gv -' sh "$@"
	must_fail 2 "$prog: an unknown option" "$@" --nonsense
	must_fail 2 "$prog: an unknown letter" "$@" -Z
	is "$prog: nothing left over" \
	    "$(find . -name out.gv -o -name '*.tmp')" ""
}

# unread FILE PROG ARG...: a filter whose input rests before its END, and whose
# reader goes while it waits.
unread() {
	file=$1
	shift
	[ -p rests ] || mkfifo rests
	exec 9<>rests
	head -c -64 "$file" >&9 &
	# shellcheck disable=SC2216 # a reader that reads nothing
	(
		timeout 20 "$@" <rests
		echo $? >unread.rc
	) | sleep 0.3
	exec 9>&-
	is "$1: doesn't wait for input when nobody reads its output" \
	    "$(cat unread.rc)" 141
}

# bad_output PROG ARG...: standard output closed, full, or gone.
bad_output() {
	must_fail 1 "$1: standard output closed" sh -c '"$@" >&-' sh "$@"
	must_fail 1 "$1: standard output full" \
	    sh -c '"$@" >/dev/full' sh "$@"
}
