# TAP for shell tests: source it, call ok, is and must_fail, end with finish.
# shellcheck shell=sh
#
# $SRC is the repository, $B its build directory, $T a fresh directory that is
# the current one and goes away at the end.

set -u
GV_DEVICE=cpu
export GV_DEVICE
unset GVK_ISA MAKEFLAGS MFLAGS MAKELEVEL
SRC=$(cd "$(dirname "$0")/../.." && pwd)
B=${B:-$SRC/build}
case $B in /*) ;; *) B=$SRC/$B ;; esac
PATH=$B/bin:$PATH
export PATH LC_ALL=C
T=$(mktemp -d)
tap_count=0
tap_bad=0
trap 'cd /; rm -rf "$T"' EXIT
trap 'exit 1' HUP INT TERM
cd "$T" || exit 1

note() {
	printf '# %s\n' "$*"
}

tap_point() { # RESULT DESC
	tap_count=$((tap_count + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $tap_count - $2"
	else
		echo "not ok $tap_count - $2"
		tap_bad=$((tap_bad + 1))
	fi
}

# ok DESC CMD...: CMD exits 0.
ok() {
	tap_desc=$1
	shift
	"$@" >"$T/.out" 2>"$T/.err"
	tap_rc=$?
	tap_point $tap_rc "$tap_desc"
	[ $tap_rc -eq 0 ] || sed 's/^/# /' "$T/.err"
	return $tap_rc
}

# is DESC GOT WANT: the strings are the same.
is() {
	if [ "$2" = "$3" ]; then
		tap_point 0 "$1"
	else
		tap_point 1 "$1"
		note "got:  $2"
		note "want: $3"
	fi
}

# must_fail CODE DESC CMD...: CMD exits with CODE after one line on stderr.
must_fail() {
	tap_want=$1
	tap_desc=$2
	shift 2
	timeout 20 "$@" >"$T/.out" 2>"$T/.err"
	tap_rc=$?
	tap_lines=$(wc -l <"$T/.err")
	if [ $tap_rc -eq "$tap_want" ] && [ "$tap_lines" -eq 1 ]; then
		tap_point 0 "$tap_desc"
	else
		tap_point 1 "$tap_desc"
		note "exit $tap_rc (want $tap_want), $tap_lines lines:"
		head -5 "$T/.err" | sed 's/^/# /'
	fi
}

finish() {
	echo "1..$tap_count"
	[ $tap_bad -eq 0 ]
	exit
}
