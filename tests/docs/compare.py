"""Whether what a command printed is what its page says, and what the page should say instead.

A line `...` stands for any number of lines, `...` within a line for any text: times, memory, what a machine decides. Numbers
agree when they are equal to the digits printed, give or take one unit of the last digit of a fraction: rounding
differs between processors. Whole numbers are equal. Blanks count as one.
"""
import difflib
import re

NUMBER = re.compile(r"(?<![\w.])[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?(?![\w]*\d)")
GAP = "..."


def unit(text):
    """One unit of the last digit of a number as printed; 0 for a whole number."""
    mantissa, _, exponent = text.partition("e")
    if "." not in mantissa and not exponent:
        return 0.0
    digits = len(mantissa.partition(".")[2])
    return 10.0 ** (int(exponent or 0) - digits)


def value(text):
    return float(text.replace(",", ""))


def same_number(expected, found):
    if expected == found:
        return True
    size = unit(expected)
    return size > 0 and abs(value(expected) - value(found)) <= size * 1.0001


def split(line):
    """Text pieces and the numbers between them."""
    line = " ".join(line.split())
    return NUMBER.split(line), NUMBER.findall(line)


def same_text(expected, found):
    """Of a line without gaps."""
    (words, numbers), (found_words, found_numbers) = split(expected), split(found)
    return words == found_words and all(map(same_number, numbers, found_numbers))


def pattern_of(part):
    """A regular expression for a piece of a line, which captures its numbers."""
    pieces, numbers = NUMBER.split(part), NUMBER.findall(part)
    text = re.escape(pieces[0])
    for _, piece in zip(numbers, pieces[1:]):
        text += "(" + NUMBER.pattern + ")" + re.escape(piece)
    return text


def same_line(expected, found):
    """Of a line that may hold gaps."""
    if GAP not in expected:
        return same_text(expected, found)
    expected, found = " ".join(expected.split()), " ".join(found.split())
    parts = expected.split(GAP)
    match = re.fullmatch(".*?".join(map(pattern_of, parts)), found)
    return match is not None and all(map(same_number, NUMBER.findall(" ".join(parts)), match.groups()))


def difference(expected, found):
    """None, or (number of the expected line, text) of what does not fit."""
    reached = {0}
    for number, line in enumerate(expected):
        if line.strip() == GAP:
            reached = set(range(min(reached), len(found) + 1))
            continue
        following = {at + 1 for at in reached if at < len(found) and same_line(line, found[at])}
        if not following:
            near = found[min(reached)] if min(reached) < len(found) else "(nothing more)"
            close = difflib.get_close_matches(line, [found[a] for a in reached if a < len(found)], 1, .3)
            return number, close[0] if close else near
        reached = following
    if len(found) not in reached:
        return len(expected), found[max(reached)]
    return None


def masked(line):
    return NUMBER.sub("0", " ".join(line.split()))


def likeness(expected, found):
    a, b = masked(expected), masked(found)
    if a == b:
        return 1.0
    return difflib.SequenceMatcher(None, a, b, False).ratio()


def renew(expected, found):
    """The expected lines brought up to date, with gaps where they had any; and the lines that have no counterpart."""
    if GAP not in [line.strip() for line in expected]:
        return [line_as_before(expected, line) for line in found], []
    wanted = [line for line in expected if line.strip() != GAP]
    pairs = align(wanted, found)
    lines, last = [], -1
    for place, at in pairs:
        if at > last + 1:
            lines.append(GAP)
        lines.append(wanted[place] if same_line(wanted[place], found[at]) else found[at])
        last = at
    if last + 1 < len(found):
        lines.append(GAP)
    return lines, [wanted[i] for i in range(len(wanted)) if i not in {p for p, _ in pairs}]


def line_as_before(expected, line):
    """Gaps within a line stay; the rest is what was printed."""
    for old in expected:
        if same_line(old, line):
            return old
    return line


def align(wanted, found):
    """Pairs in rising order, of the greatest total likeness; unlike lines are no pair."""
    rows, columns = len(wanted), len(found)
    best = [[0.0] * (columns + 1) for _ in range(rows + 1)]
    alike = [[likeness(w, f) for f in found] for w in wanted]
    for i in range(rows - 1, -1, -1):
        for j in range(columns - 1, -1, -1):
            take = alike[i][j] + best[i + 1][j + 1] if alike[i][j] > .6 else -1
            best[i][j] = max(take, best[i + 1][j], best[i][j + 1])
    pairs, i, j = [], 0, 0
    while i < rows and j < columns:
        if alike[i][j] > .6 and best[i][j] == alike[i][j] + best[i + 1][j + 1]:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            i += 1
        else:
            j += 1
    return pairs
