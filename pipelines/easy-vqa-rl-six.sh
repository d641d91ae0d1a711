#!/bin/sh
# easy-vqa-rl-six.sh RESULT...: the runs' lines (easy-vqa-rl-report.sh says what
# they are) as one table.
set -eu

echo 'easy-VQA, test split, accuracy in per cent; entropy in nat a token'
echo
echo '                  all          rarer answers   other          entropy' \
    '     cpu s, start'
echo 'seed objective    before after before after  picture grey   first last' \
    '  and objective'
awk -F '\t' '{
	printf "%-4s %-11s %7.2f %6.2f %6.2f %6.2f %7.2f %6.2f %6s %6s %5s %5s\n",
	    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12
}' "$@"
