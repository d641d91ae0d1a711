#!/bin/sh
# The table of gv-decode's speed and memory, for a person to run on a quiet
# machine:
#
#	tests/bench/decode.sh BUILD PYTHON PHOTO.jpg ...
#	BIG="5640x3172.jpg 3840x2160.jpg" tests/bench/decode.sh ...
#
# BUILD has been made with tests/bench/image in it; PYTHON has Pillow and numpy.
# Photographs of 640x480 are what the goals are stated for.  One thread is
# compared by CPU time, by turns, medians: with Pillow, and with libjpeg alone,
# which decodes into rows that stay in cache.  Threads are compared by the clock
# on the wall, by turns, the best of each.
set -eu

here=$(dirname "$0")
[ $# -ge 3 ] || { sed -n '5,6s/^# *//p' "$0" >&2; exit 2; }
build=$1 python=$2
shift 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$python" "$here/../golden/compare_pillow.py" "$build" --time "$@"
"$build/tests/bench/image" 256 "$@" | tail -n 2

# Enough of them for a second or more of one thread.
i=0
while [ $i -lt $((3000 / $# + 1)) ]; do
	for f; do echo "$f"; done
	i=$((i + 1))
done >"$work/list"

decode() { # THREADS [OPTION]: seconds on the wall
	threads=$1
	shift
	"$build/bin/gv-decode" --quiet --paths --size 256 --stats \
		--threads "$threads" "$@" "$work/list" 2>&1 >/dev/null |
		sed -n 's/.* pictures in \([0-9.]*\) s:.*/\1/p'
}

turn() {
	decode 1 >>"$work/one"
	decode 2 >>"$work/two"
	decode 1 --fast >>"$work/fast"
}
turn; turn; turn; turn; turn
best() { sort -n "$work/$1" | head -n 1; }
n=$(wc -l <"$work/list")
awk -v n="$n" -v a="$(best one)" -v b="$(best two)" -v f="$(best fast)" 'BEGIN {
	printf "gv-decode: %.0f pictures/s in one thread, %.0f in two: x%.2f; ",
		n / a, n / b, a / b
	printf "--fast %.0f\n", n / f
}'

# The largest resident set, of ten in a row.
for f in ${BIG:-}; do
	for threads in 1 2; do
		printf '%s, %d threads: ' "$f" "$threads"
		command time -f '%M KB' "$build/bin/gv-decode" --quiet \
			--size 256 --threads "$threads" -o "$work/out" \
			"$f" "$f" "$f" "$f" "$f" "$f" "$f" "$f" "$f" "$f" 2>&1
	done
done
