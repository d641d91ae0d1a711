# From what gv-reward --summary --json says of easy-VQA's answers: a line a
# wording, with the accuracy where the answer is yes, where it is no, or of all
# where it is neither.  Then the questions of yes or no whose answer is the
# commoner one for its wording, no unless there is a negation, and the rarer
# one: who guesses by the wording gets 1 and 0.

def accuracy: (map(.n * .accuracy) | add) / (map(.n) | add);
def rarer: (.name | test(" (no|not) ")) != (.answer == "yes");

[(.types // .tasks[0].types)[]
 | .answer = (.type | capture(" (?<a>yes|no)$").a // "")
 | .answer as $answer | .name = (.type | rtrimstr(" " + $answer))]
| (group_by(.name)
   | sort_by(.[0].answer == "", .[0].name)[]
   | [.[0].name]
     + if .[0].answer == "" then [.[0].accuracy, "-", "-"]
       else ["-"] + (sort_by(.answer) | [.[1].accuracy, .[0].accuracy]) end),
  (map(select(.answer != "")) | group_by(rarer)
   | ["the commoner answer", (.[0] | accuracy), "-", "-"],
     ["the rarer answer", (.[1] | accuracy), "-", "-"])
| @tsv
