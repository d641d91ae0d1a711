# easy-vqa-rl.gp: what easy-vqa-rl.mk draws of its six runs under top: each
# objective has a colour, each seed a line.

set terminal pngcairo size 760,500 font ",8"
set datafile missing "-"
set xlabel "step"
set format y "%g"
set grid
set key bottom right
file(s, o, name) = sprintf("%s/%d/%s/%s.tsv", top, s, o, name)
colour(o) = o eq "grpo" ? 1 : 4
legend(s, o) = s == 1 ? o : ""
runs = "grpo reinforce"
set multiplot layout 2,2

set title "accuracy on held-out pictures: all questions"
plot for [o in runs] for [s = 1:3] file(s, o, "eval") \
    using 1:2 with linespoints lc colour(o) pt 7 ps 0.4 title legend(s, o)
set title "yes or no, where the wording misleads"
plot for [o in runs] for [s = 1:3] file(s, o, "rarer") \
    using 1:2 with linespoints lc colour(o) pt 7 ps 0.4 title legend(s, o)
set key top right
set title "entropy [nat a token]"
plot for [o in runs] for [s = 1:3] file(s, o, "log") \
    using 1:4 smooth bezier lc colour(o) title legend(s, o)
set key bottom right
set title "groups passed over, all right or all wrong"
plot for [o in runs] for [s = 1:3] file(s, o, "log") \
    using 1:12 smooth bezier lc colour(o) title legend(s, o)
unset multiplot
