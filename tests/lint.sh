#!/bin/sh
# What a machine can say about the sources: form, common mistakes, headers that
# stand alone, scripts, manuals.  Files that git tracks are looked at, or those
# given as arguments.  A tool that is missing is named and left out.
set -u
cd "$(dirname "$0")/.." || exit 1

bad=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# check NAME TOOL: runs the function NAME if TOOL is there; what it prints are
# the findings.
check() {
	if ! command -v "$2" >/dev/null; then
		echo "lint: $1: skipped, no $2 here"
		return
	fi
	if "$1" >"$log" 2>&1 && [ ! -s "$log" ]; then
		echo "lint: $1: clean"
		return
	fi
	sed "s/^/$1: /" "$log"
	echo "lint: $1: $(wc -l <"$log") lines of findings"
	bad=1
}

# files PATTERN...: of the given files or all tracked ones, those that match
# and are there.
if [ $# -gt 0 ]; then
	all=$(printf '%s\n' "$@")
else
	all=$(git ls-files)
fi
files() {
	echo "$all" | grep -E "$1" | while read -r f; do
		[ ! -e "$f" ] || echo "$f"
	done
}

form() { # headers keep their columns of comments, sources do not
	files '\.(c|cu)$' | while read -r f; do
		clang-format "$f" | cmp -s - "$f" ||
			echo "$f: clang-format -i would change it"
	done
}

# What this version of cppcheck gets wrong is left to the compilers: it loses
# track of arrays that a loop or a call fills, takes the bounds of an inlined
# comparison for checks, calls log(0) invalid where -inf is meant, and takes all
# functions that are named by CPU() for one.
mistakes() {
	files '\.c$' | xargs -r cppcheck --quiet --std=c11 --language=c \
		--enable=warning,performance,portability \
		--library=tests/cppcheck.cfg --inline-suppr \
		--suppress=missingInclude --suppress=missingIncludeSystem \
		--suppress=unknownMacro --suppress=internalAstError \
		--suppress=uninitvar --suppress=arrayIndexThenCheck \
		--suppress=invalidFunctionArg --suppress=invalidPointerCast \
		'--suppress=ctunullpointer:kernels/cpu/*' \
		--template='{file}:{line}: {severity}: {message} [{id}]' \
		-D__linux__ -D__GNUC__ -I lib -I kernels -I bin -I tests/unit
}

alone() { # every header compiles by itself; with C++ if it says so
	files '^(lib|kernels|bin)/[^/]*\.h$' | while read -r h; do
		echo 'typedef int gv_lint;' |
			gcc -std=c11 -D_GNU_SOURCE -Wall -Wextra -Wpedantic \
				-Werror -iquote lib -iquote kernels \
				-fsyntax-only -x c -include "$h" -
		grep -q __cplusplus "$h" || continue
		echo 'typedef int gv_lint;' |
			g++ -std=c++17 -D_GNU_SOURCE -Wall -Wextra -Werror \
				-iquote lib -iquote kernels \
				-fsyntax-only -x c++ -include "$h" -
	done
}

# Functions are called by a name in a variable, and files named like commands.
scripts() {
	files '\.(sh|t)$|^\.ci/run$' |
		xargs -r shellcheck -x -P tests/cli -S warning -e SC2317,SC2238
}

manuals() { # a reference to a page of ours must lead to one
	files '^man/.*\.[157]$' | xargs -r mandoc -T lint 2>&1 |
		grep -v -e 'referenced manual not found' -e 'outdated mandoc.db' \
		    -e '^([0-9]* times)$' # what such a line may end with
	files '^man/.*\.[157]$' | while read -r page; do
		sed -n 's/^\.Xr \(gv[a-z-]*\) \([157]\).*/\1.\2/p' "$page" |
			sort -u | while read -r to; do
			[ -e "man/man${to##*.}/$to" ] ||
				echo "$page: refers to $to, which is not there"
		done
	done
	return 0
}

length() { # 80 columns, of CUDA 100
	files '\.(c|h|cu|cuh)$' | while read -r f; do
		case $f in *.cu*) max=100 ;; *) max=80 ;; esac
		expand -t 8 "$f" | awk -v f="$f" -v max="$max" 'length > max {
			print f ":" NR ": " length " columns" }'
	done
}

check form clang-format
check mistakes cppcheck
check alone g++
check scripts shellcheck
check manuals mandoc
check length awk
exit $bad
