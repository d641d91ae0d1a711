# curves.gp: what rl.mk draws of a run.  Wants kind (png, svg), log and eval.

if (kind eq "svg") {
	set terminal svg size 960,640
} else {
	set terminal pngcairo size 960,640
}
set datafile missing "-"
set key autotitle columnhead bottom right
set xlabel "step"
set grid
set multiplot layout 2,2
set style data lines

set title "reward of samples, accuracy on held-out prompts"
plot log using 1:2 smooth bezier title "reward" lc 1, \
     eval using 1:2:3:4 with yerrorlines title "accuracy, 95 %" lc 4
set title "entropy, divergence from the reference [nat a token]"
set key top right
plot log using 1:4 title "entropy", log using 1:3 title "k3"
set title "share of tokens held back by the clip"
plot log using 1:5 title "low", log using 1:6 title "high"
set title "trainer's log-probability to the sampler's [nat]; lag"
set y2tics
set logscale y
plot log using 1:($9 > 0 ? $9 : NaN) title "gap", \
     log using 1:8 axes x1y2 title "lag (right)"
unset multiplot
