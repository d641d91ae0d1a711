# curves.gp: what rl.mk draws of a run.  Wants kind (png or svg), the files log
# and eval, and kl, which is 0 if there was no reference.

if (kind eq "svg") {
	set terminal svg size 960,640 background "white"
} else {
	set terminal pngcairo size 760,500 font ",8"
}
set datafile missing "-"
set key autotitle columnhead bottom right
set xlabel "step"
set format y "%g"
set grid
set style data lines
set multiplot layout 2,2

set title "reward of samples, accuracy on held-out prompts"
plot log using 1:2 title "" lc rgb "#d0c0e0", \
     log using 1:2 smooth bezier title "reward" lc 1, \
     eval using 1:2:3:4 with yerrorlines title "accuracy, 95 %" lc 4
set key top right
if (kl > 0) {
	set title "entropy, divergence from the reference [nat a token]"
	plot log using 1:4 title "entropy", log using 1:3 title "k3"
} else {
	set title "entropy [nat a token]"
	plot log using 1:4 title ""
}
set title "tokens held back by the clip; length"
set y2tics
stats log using ($5 + $6) every ::1 name "clip" nooutput
if (clip_max == 0) { set yrange [0:1] }
set y2range [0:1<*]
plot log using 1:5 title "low", log using 1:6 title "high", \
     log using 1:7 axes x1y2 title "length (right)"
set title "|trainer's log-probability - sampler's| [nat]; lag [steps]"
set yrange [*:*]
set logscale y
set format y "%.0e"
plot log using 1:($9 > 0 ? $9 : NaN) title "gap", \
     log using 1:8 axes x1y2 title "lag (right)"
unset multiplot
