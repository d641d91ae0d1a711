"""Writes tests/golden/calculator/cases: random expressions and what they are,
a line each, "EXPRESSION<tab>VALUE".  Python's own parser and fractions
(made with 3.11) say the value; "!" where the calculator takes none.

	python3 tests/golden/make_calculator.py [CASES] >tests/golden/calculator/cases
"""
import ast
import random
import sys
from decimal import ROUND_HALF_UP, Context, Decimal
from fractions import Fraction

BITS = 123


def evaluate(node):
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.UnaryOp):
        value = evaluate(node.operand)
        return -value if isinstance(node.op, ast.USub) else value
    if not isinstance(node, ast.BinOp):
        raise SyntaxError
    left, right = evaluate(node.left), evaluate(node.right)
    if isinstance(node.op, ast.Add):
        return left + right
    if isinstance(node.op, ast.Sub):
        return left - right
    if isinstance(node.op, ast.Mult):
        return left * right
    if isinstance(node.op, ast.Div):
        return left / right
    return Fraction(left // right)


class Exact(ast.NodeTransformer):
    """Numbers as they are spelled, not as floats."""

    def __init__(self, text):
        self.text = text

    def visit_Constant(self, node):
        spelled = ast.get_source_segment(self.text, node)
        return ast.copy_location(ast.Constant(Fraction(spelled)), node)


def written(x):
    if x.denominator == 1:
        return str(x.numerator)
    whole = abs(x.numerator) // x.denominator
    digits = max(12, len(str(whole)) if whole else 0)
    context = Context(prec=digits, rounding=ROUND_HALF_UP)
    # one division with far more digits, then one rounding
    exact = Context(prec=400).divide(Decimal(x.numerator),
                                     Decimal(x.denominator))
    text = format(context.plus(exact), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def value(text):
    try:
        tree = Exact(text).visit(ast.parse(text, mode="eval"))
        return written(evaluate(tree.body))
    except (SyntaxError, ValueError, ZeroDivisionError):
        return "!"


def number(r):
    kind = r.randrange(5)
    if kind == 0:
        return "%d.%d" % (r.randrange(1000), r.randrange(1000))
    if kind == 1:
        return ".%02d" % r.randrange(100)
    if kind == 2:
        return "%d." % r.randrange(50)
    return str(r.randrange(1, 10 ** r.randrange(1, 6)))


def expression(r, depth):
    space = " " * (r.randrange(4) == 0)
    kind = r.randrange(8) if depth else 0
    if kind < 2:
        return number(r)
    if kind == 2:
        return r.choice("-+") + space + expression(r, depth - 1)
    if kind == 3:
        return "(" + space + expression(r, depth - 1) + ")"
    return (expression(r, depth - 1) + space
            + r.choice(["+", "-", "*", "/", "*", "/", "//"]) + space
            + expression(r, depth - 1))


def spoiled(r, text):
    """With a character too many or too few."""
    at = r.randrange(len(text))
    if r.randrange(2):
        return text[:at] + text[at + 1:]
    return text[:at] + r.choice("()+-*/.") + text[at:]


def main():
    r = random.Random(20261123)
    for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else 300):
        text = expression(r, 4)
        if r.randrange(4) == 0:
            text = spoiled(r, text).strip() or "0"
        # Python has powers, calls, and no zeros in front
        if "**" in text or ")(" in text or any(
                w.isdigit() and len(w) > 1 and w[0] == "0"
                for w in text.replace("//", "/").replace("(", " ").replace(
                    ")", " ").replace("+", " ").replace("-", " ").replace(
                    "*", " ").replace("/", " ").split()):
            continue
        if any(a.isdigit() and b == "(" or a == "." and b == "("
               for a, b in zip(text, text[1:])):
            continue
        print(text + "\t" + value(text))


main()
