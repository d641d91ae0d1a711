# GSM8K's problems as conversations.  Its answers say where a calculator is to
# help: "She sold 48/2 = <<48/2=24>>24 clips.\n#### 24".

# A decimal number as the calculator writes it: 0.5 for .50, 20 for 20.00.
def plain:
  capture("^(?<sign>-?)0*(?<whole>[0-9]*)(\\.(?<part>[0-9]*?)0*)?$")
  | map_values(. // "")
  | .sign + (.whole | if . == "" then "0" else . end)
    + (.part | if . == "" then . else "." + . end);

# What stands between << and >>: a call and what comes back, or nothing where
# that isn't a number.
def call:
  (. / "=") as $side
  | if ($side | length) == 2 and ($side[0] | test("^[-+*/(). 0-9]+$"))
        and ($side[1] | test("^-?([0-9]+\\.?[0-9]*|\\.[0-9]+)$")) then
      {type: "python", text: $side[0]},
      {type: "python_output", text: ($side[1] | plain)}
    else empty end;

def text: select(. != "") | {type: "text", text: .};

# An answer as the parts of a message; << without >> is text.
def parts:
  (. / "<<") as $piece
  | [($piece[0] | text),
     ($piece[1:][] | (. / ">>") as $half
      | if ($half | length) > 1 then
          ($half[0] | call), ($half[1:] | join(">>") | text)
        else "<<" + . | text end)];

def question: {role: "user", content: .question};

def conversation:
  {messages: [question, {role: "assistant", content: (.answer | parts)}]};

def prompt: {messages: [question], answers: [.answer], task: "gsm8k"};
