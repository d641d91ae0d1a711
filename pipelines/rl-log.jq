# The log of gv-train as columns, a line a step, the last of each; what a run
# doesn't have is a dash.  Parts of the reward have a + in front.

["step", "reward", "kl", "entropy", "clip_low", "clip_high", "length", "lag",
 "gap", "norm", "seconds", "dropped"] as $columns
| map(select(.reward)) | INDEX(.step) | map(.) | sort_by(.step)
| (map(.rewards // {} | keys) | add | unique) as $parts
| $columns + ($parts | map("+" + .)),
  (.[] | [(.[$columns[]] | . // "-")] + [(.rewards[$parts[]] | . // "-")])
| @tsv
