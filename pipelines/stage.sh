#!/bin/sh
# stage.sh FILE COMMAND: runs a stage of a pipeline, and writes into FILE how
# many seconds it took and how many of a processor's.
#
# A makefile that names it in .SHELLFLAGS has every recipe timed.
set -eu

start=$(date +%s%N)
sh -euc "$2"
end=$(date +%s%N)

# `times` tells of commands that have ended only outside of a pipe.  Its second
# line is theirs: "1m2.5s 0m0.5s", user and system.
if [ "$1" = /dev/null ]; then
	exit
fi
mkdir -p "$(dirname "$1")"
times >"$1"
cost=$(awk -v wall=$((end - start)) '
NR == 2 {
	split($1, user, /[ms]/)
	split($2, kernel, /[ms]/)
	printf "%.2f %.2f\n", wall / 1e9,
	    60 * user[1] + user[2] + 60 * kernel[1] + kernel[2]
}' "$1")
echo "$cost" >"$1"
