# Sets our rows beside PyTorch's: bench.h describes the first file's, which is
# peer.py's, and the second's, which is ours.  The limit of a row is the larger
# of two times: its FLOP at the rate of the 8192 product, and its bytes at the
# rate of the copy, each the better one of the two sides in this run.
BEGIN {
	FS = "\t"
}
/^#/ {
	next
}
{
	if ($1 == "matmul 8192" && $2 * 1e12 > peak)
		peak = $2 * 1e12
	if ($1 == "copy 1 GiB" && $2 * 1e9 > speed)
		speed = $2 * 1e9
}
FNR == NR {
	theirs[$1] = $2
	next
}
{
	name[++n] = $1
	ours[n] = $2
	unit[n] = $3
	took[n] = $4
	flops[n] = $5
	bytes[n] = $6
}
END {
	printf "%-33s %10s %10s %6s %6s  %s\n", "", "ours", "PyTorch",
	    "ratio", "limit", "unit"
	for (i = 1; i <= n; i++) {
		t = peak ? flops[i] / peak : 0
		b = speed ? bytes[i] / speed : 0
		if (b > t)
			t = b
		share = took[i] && t ? sprintf("%.0f %%", 100 * t / took[i]) : "-"
		them = theirs[name[i]]
		ratio = them ? sprintf("%.2f", ours[i] / them) : "-"
		printf "%-33s %10.4g %10s %6s %6s  %s\n", name[i], ours[i],
		    them ? sprintf("%.4g", them) : "-", ratio, share, unit[i]
	}
}
