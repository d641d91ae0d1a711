#!/bin/sh
# Every program with every kind of bad input and bad luck outside it: one line,
# exit 1 or 2, nothing left.  A program that is new is tested by itself.
# shellcheck source=tests/cli/tap.sh
. "$(dirname "$0")/tap.sh"
# shellcheck source=tests/fault/setup.sh
. "$SRC/tests/fault/setup.sh"

cat p.gv i.gv >two-kinds
{ head -c -1 t.gv; cat t.gv; } >no-end
head -c 3000 /dev/urandom >random
printf 'The quick brown fox.\n' >text
echo 'exec "$@" <&-' >no-input
echo 'exec "$@" >&-' >no-output
echo 'exec "$@" >/dev/full' >full

# What is a stream, or none, but nothing for this program.
wrong_for() { # PROG
	case $1 in
	gv-reward | gv-rollout | gv-sample | gv-tokenize | gv-train)
		echo i.gv ;;
	gv-decode | gv-encode-vision | gv-model | gv-paste) echo t.gv ;;
	*) echo two-kinds ;;
	esac
}

# How many bytes apart a program's input is cut.  The steps are primes, so that
# the bits that flip are not all the same one.
stride() { # PROG
	case $1 in
	gv-cat | gv-stat) echo 1 ;;
	gv-encode-vision | gv-rollout | gv-sample | gv-train) echo 47 ;;
	*) echo 7 ;;
	esac
}

refuse() { # PROG DESC FILE: as operand and as standard input
	rm -rf in
	cp -R "$3" in
	ok "$1: $2" drive "$1" once
	case "$1 $2" in
	gv-model*) return ;;            # reads no standard input
	'gv-decode nothing') return ;;  # is a list of no pictures there
	esac
	IN=- ok "$1: $2 as standard input" drive "$1" -i in once
}

: >empty
mkdir dir
ok 'there are programs' test "$(programs)"
for p in $(programs); do
	good=$(good_for "$p")
	n=$(stride "$p")
	flips=1
	# a text may be good with another letter
	[ "$p" != gv-model ] || flips=01
	refuse "$p" 'nothing' empty
	refuse "$p" 'random bytes' random
	refuse "$p" 'text' text
	refuse "$p" 'a directory' dir
	refuse "$p" 'what is for another program' "$(wrong_for "$p")"
	[ "${good%.gv}" = "$good" ] || refuse "$p" 'a missing end' no-end
	rm -rf in
	# the name of no file is that of a preset, and no such one: wrong usage
	ok "$p: nothing there" drive "$p" \
		-c "$([ "$p" = gv-model ] && echo 2 || echo 1)" once
	ok "$p: cut" drive "$p" -n "$n" cut "$good" in
	note "$(cat .out)"
	ok "$p: a flipped bit" drive "$p" -c $flips -n $((n * 8 - 1)) \
		flip "$good" in
	note "$(cat .out)"

	cp "$good" in
	ok "$p: can do it" drive "$p" -c 0 once
	case $p in
	gv-cat | gv-cut | gv-diff | gv-shuf | gv-stat | gv-tokenize | gv-view)
		# shellcheck disable=SC2030,SC2031
		(OUT='' IN=-; command_of "$p"; $c <in >want)
		IN=- OUT='' ok "$p: a byte at a time" \
			drive "$p" -w want drip "$good" ;;
	esac
	MORE=--nonsense ok "$p: an unknown option" drive "$p" -c 2 once
	MORE=-Z ok "$p: an unknown letter" drive "$p" -c 2 once
	! "$p" --help | grep -q -- '--output' ||
		MORE=-o ok "$p: an option without its value" \
			drive "$p" -c 2 once
	if "$p" --help | grep -q -- '--output\|-o DIR'; then
		OUT=no/out ok "$p: output in a missing directory" \
			drive "$p" once
	fi
	WRAP='sh no-input' ok "$p: no standard input" drive "$p" once
	WRAP='sh no-output' OUT='' ok "$p: no standard output" drive "$p" once
	WRAP='sh full' OUT='' ok "$p: a full standard output" drive "$p" once
	is "$p: no standard error" \
		"$("$p" --nonsense 2>&-; echo $?)" 2
done

finish
