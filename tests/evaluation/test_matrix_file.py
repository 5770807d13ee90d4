"""One matrix in every layout that people have, and files that hold none."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.evaluation.matrix_file import BadMatrix, Reading, read_matrix, read_matrix_file, write_matrix

COUNTS = np.array([[90, 8, 2], [5, 80, 15], [0, 3, 97]])
NAMES = ("cat", "dog", "T-shirt/top")

BODY = "cat,90,8,2\ndog,5,80,15\nT-shirt/top,0,3,97"
LAYOUTS = {
    "numbers alone": "90,8,2\n5,80,15\n0,3,97",
    "names in both": ",cat,dog,T-shirt/top\n" + BODY,
    "a word in the corner": "true \\ predicted,cat,dog,T-shirt/top\n" + BODY,
    "names above": "cat,dog,T-shirt/top\n90,8,2\n5,80,15\n0,3,97",
    "names at the side": BODY,
    "a header without a corner": "cat,dog,T-shirt/top\n" + BODY,
    "semicolons and a mark of order": "\ufeff;cat;dog;T-shirt/top\r\n"
    + BODY.replace(",", ";").replace("\n", "\r\n"),
    "tabs": "cat\tdog\tT-shirt/top\n90\t8\t2\n5\t80\t15\n0\t3\t97",
    "bars and blanks": "cat | dog | T-shirt/top\n90 | 8 | 2\n5 | 80 | 15\n0 | 3 | 97",
    "quoted": '"","cat","dog","T-shirt/top"\n"cat","90","8","2"\n"dog","5","80","15"\n'
    '"T-shirt/top","0","3","97"',
    "as NumPy prints it": "[[90  8  2]\n [ 5 80 15]\n [ 0  3 97]]",
    "floats": "90.0,8.0,2.0\n5.0,80.0,15.0\n0.0,3.0,97.0",
    "totals": ",cat,dog,T-shirt/top,Total\ncat,90,8,2,100\ndog,5,80,15,100\nT-shirt/top,0,3,97,100\n"
    "Total,95,91,114,300",
    "a comment and empty lines": "# validation\n\n90,8,2\n\n5,80,15\n0,3,97\n\n",
    "empty cells are 0": "90,8,2\n5,80,15\n,3,97",
    "a separator at the end": "90,8,2,\n5,80,15,\n0,3,97,",
    "columns in another order": ",dog,cat,T-shirt/top\ncat,8,90,2\ndog,80,5,15\nT-shirt/top,3,0,97",
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_counts(layout):
    matrix, names = read_matrix(LAYOUTS[layout].encode())
    assert np.array_equal(matrix, COUNTS)
    assert names == (NAMES if "cat" in LAYOUTS[layout] else ("0", "1", "2"))


@pytest.mark.parametrize(
    "text",
    [
        ",0,1,2\n0,90,8,2\n1,5,80,15\n2,0,3,97",
        "0,1,2\n0,90,8,2\n1,5,80,15\n2,0,3,97",
        "0,1,2\n90,8,2\n5,80,15\n0,3,97",
        "0,90,8,2\n1,5,80,15\n2,0,3,97",
        "true,0,1,2\n0,90,8,2\n1,5,80,15\n2,0,3,97",
    ],
)
def test_classes_named_by_numbers(text):
    matrix, names = read_matrix(text.encode())
    assert np.array_equal(matrix, COUNTS)
    assert names == ("0", "1", "2")


def test_lists_of_pairs_are_counted():
    text = "file,true,predicted\n" + "".join(f"x.png,{a},{b}\n" for a, b in ["10", "11", "22", "10"])
    matrix, names = read_matrix(text.encode())
    assert names == ("0", "1", "2")
    assert matrix.tolist() == [[0, 0, 0], [2, 1, 0], [0, 0, 1]]
    assert read_matrix(b"actual;prediction;count\na;b;12\nb;b;3")[0].tolist() == [[0, 12], [0, 3]]


@pytest.mark.parametrize("k", [1, 2, 200])
def test_what_is_written_is_read_again(k):
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 2000, (k, k))
    names = tuple(f'class, "{i}"; odd' for i in range(k))
    matrix, read = read_matrix(write_matrix(counts, names).encode())
    assert np.array_equal(matrix, counts)
    assert read == names


def test_a_single_number_is_a_matrix_of_one_class():
    assert read_matrix(b"17")[0].tolist() == [[17]]
    assert read_matrix(b"x\n17")[1] == ("x",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("1,2\n3,4\n5,6,7", "line 3 has 3"),
        ("1,2,3\n4,5,6", "2 rows and 3 columns"),
        ("0.9,0.1\n0.2,0.8", "seems to be normalized"),
        ("90%,10.5%\n20%,80%", "seems to be normalized"),
        ("5,-1\n0,3", "negative number, -1"),
        ("a,b\n1,x\n2,3", "'x' where a number of images"),
        ("a,a\n1,2\n3,4", "two classes 'a'"),
        (",a,b\na,1,2\nc,3,4", "names a row 'c', but no column"),
        ("cat,dog", "row 1 has 'dog'|no numbers|rows and"),
        ("\0\0\1", "not text"),
        ("true,predicted\n1", "line 2 has 1 fields"),
    ],
)
def test_what_is_wrong_is_said(text, message):
    with pytest.raises(BadMatrix, match=message):
        read_matrix(text.encode(), "mine.csv")


def test_nonsense_never_breaks_it():
    rng = np.random.default_rng(0)
    alphabet = list("0123456789,;|\t\n \"'[]abcé%.-#\\")
    for _ in range(400):
        text = "".join(rng.choice(alphabet, rng.integers(0, 40)))
        try:
            matrix, names = read_matrix(text.encode())
        except BadMatrix:
            continue
        assert matrix.shape == (len(names), len(names))
        assert (matrix >= 0).all()


# ---- what other programs write: TWO everywhere, rows true

TWO = [[48, 2], [5, 45]]
_PAIRS = "cat,cat,48\ncat,dog,2\ndog,cat,5\ndog,dog,45"
_ACTUAL = pd.Series(["cat"] * 50 + ["dog"] * 50, name="Actual")
_SAID = pd.Series(["cat"] * 48 + ["dog"] * 2 + ["cat"] * 5 + ["dog"] * 45, name="Predicted")
WRITTEN = {
    "W&B, a count under its own name": f"Actual,Predicted,nPredictions\n{_PAIRS}",
    "frequency": f"true,predicted,frequency\n{_PAIRS}",
    "total": f"label,prediction,total\n{_PAIRS}",
    "a name that says nothing, over the whole table": f"truth,pred,value\n{_PAIRS}",
    "R: row numbers first": '"","Prediction","Reference","Freq"\n"1","cat","cat",48\n"2","dog","cat",2\n'
    '"3","cat","dog",5\n"4","dog","dog",45',
    "lists of labels": "image,ground_truth,prediction,confidence\n"
    + "".join(f"{i}.jpg,{t},{p},.9\n" for i, (t, p) in enumerate(zip(_ACTUAL, _SAID, strict=True))),
    "numbered images are no counts": "id,true_label,predicted_label\n"
    + "".join(f"{i},{t},{p}\n" for i, (t, p) in enumerate(zip(_ACTUAL, _SAID, strict=True))),
    "Grand Total of a pivot table": "Row Labels,cat,dog,Grand Total\n"
    "cat,48,2,50\ndog,5,45,50\nGrand Total,53,47,100",
    "totals first": "true,Total,cat,dog\nTotal,100,53,47\ncat,50,48,2\ndog,50,5,45",
    "totals in another language": ",cat,dog,Łącznie\ncat,48,2,50\ndog,5,45,50\nŁącznie,53,47,100",
    "totals without names": "48,2,50\n5,45,50\n53,47,100",
    "rows predicted, said with true": "predicted \\ true,cat,dog\ncat,48,5\ndog,2,45",
    "rows predicted, said alone": "Prediction,cat,dog\ncat,48,5\ndog,2,45",
    "rows predicted, said with a slash": "Predicted/Actual;cat;dog\ncat;48;5\ndog;2;45",
    "sep=": "sep=;\ntrue;cat;dog\ncat;48;2\ndog;5;45",
    "carriage returns alone": "true,cat,dog\rcat,48,2\rdog,5,45",
    "Markdown": "| | cat | dog |\n|---|:--:|---|\n| cat | 48 | 2 |\n| dog | 5 | 45 |",
    "pandas, printed": pd.crosstab(_ACTUAL, _SAID).to_string(),
    "pandas, printed with margins": pd.crosstab(_ACTUAL, _SAID, margins=True).to_string(),
    "pandas, CSV": pd.crosstab(_ACTUAL, _SAID).to_csv(),
    "pandas, JSON": pd.crosstab(_ACTUAL, _SAID).to_json(),
    "NumPy, repr": repr(np.array(TWO)),
    "NumPy, print": str(np.array(TWO)),
    "PyTorch, repr": repr(torch.tensor(TWO)),
    "PyTorch, floats": repr(torch.tensor(TWO, dtype=torch.float32)),
    "JSON": json.dumps(TWO),
    "JSON with names": json.dumps({"labels": ["cat", "dog"], "matrix": TWO}),
    "caret": "Confusion Matrix and Statistics\n\n"
    "          Reference\nPrediction cat dog\n       cat  48   5\n"
    "       dog   2  45\n\n               Accuracy : 0.93",
    "Weka": "=== Confusion Matrix ===\n\n  a  b   <-- classified as\n 48  2 |  a = cat\n  5 45 |  b = dog\n",
}  # fmt: skip


@pytest.mark.parametrize("written", WRITTEN)
def test_what_other_programs_write(written):
    found = read_matrix_file(WRITTEN[written].encode())
    assert found.matrix.tolist() == TWO
    assert found.class_names in (("cat", "dog"), ("0", "1"))
    assert found.taken_for


def test_a_choice_that_the_file_leaves_open_is_said_and_can_be_overruled():
    found = read_matrix_file(b",cat,dog\ncat,48,5\ndog,2,45")
    assert found.open == ("rows",)
    assert found.reading.rows == "true"
    turned = read_matrix_file(b",cat,dog\ncat,48,5\ndog,2,45", reading=Reading(rows="predicted"))
    assert turned.matrix.tolist() == TWO
    assert "turned" in " ".join(turned.notes)
    assert read_matrix_file(b"true,cat,dog\ncat,48,2\ndog,5,45").open == ()


@pytest.mark.parametrize(("cells", "expected", "is_open"), [
    ("5.000;12 7;2.000", [[5000, 12], [7, 2000]], True),  # 5.000 beside 12: decimals would be written alike
    ("1.234;12 7;2.001", [[1234, 12], [7, 2001]], False),
    ("1.234.567;1 2;3", [[1234567, 1], [2, 3]], False),
    ("1.000;2.000 3.000;4.000", [[1000, 2000], [3000, 4000]], True),
    ("48.000,2.000 5.000,45.000", TWO, True),  # as np.savetxt(fmt="%.3f") writes it
    ("48.0,2.0 5.0,45.0", TWO, False),
    ("48,0;2,0 5,0;45,0", TWO, False),
    ("1'234;1 2;3", [[1234, 1], [2, 3]], False),
])  # fmt: skip
def test_points_and_commas_are_decided_by_the_whole_file(cells, expected, is_open):
    found = read_matrix_file(cells.replace(" ", "\n").encode())
    assert found.matrix.tolist() == expected
    assert ("numbers" in found.open) is is_open


def test_what_a_point_means_can_be_overruled():
    data = b"1.000;2.000\n3.000;4.000"
    assert read_matrix_file(data, reading=Reading(numbers="decimal")).matrix.tolist() == [[1, 2], [3, 4]]
    with pytest.raises(BadMatrix, match="seems to be normalized"):
        read_matrix_file(b"5.000;12\n7;2.500", reading=Reading(numbers="decimal"))


@pytest.mark.parametrize("text", [
    ";cat;dog\ncat;0,950;0,050\ndog;0,100;0,900",
    "0,950;0,050\n0,100;0,900",
    ",cat,dog\ncat,95%,5%\ndog,10%,90%",
    "0.95,0.05\n0.10,0.90",
])  # fmt: skip
def test_shares_are_never_taken_for_counts(text):
    with pytest.raises(BadMatrix, match="seems to be normalized"):
        read_matrix_file(text.encode())


def test_labels_that_differ_only_in_writing_are_one_class_and_can_be_kept_apart():
    data = b"y_true,y_pred\n0,0.0\n1,1.0\n1,0.0\n0,0.0"
    found = read_matrix_file(data)
    assert found.class_names == ("0", "1")
    assert found.matrix.tolist() == [[2, 0], [1, 1]]
    assert "labels" in found.open
    assert "'0' and '0.0' are taken for one class." in found.notes
    assert len(read_matrix_file(data, reading=Reading(labels="apart")).class_names) == 4
    assert read_matrix_file(b"label,prediction\nCat,cat\ncat,cat\ndog,Dog").matrix.tolist() == [
        [2, 0],
        [0, 1],
    ]


def test_a_class_that_one_side_lacks_is_filled_with_zeros_by_name():
    found = read_matrix_file(b"Actual,cat,dog\ncat,48,2\ndog,5,45\nfox,3,1")
    assert found.class_names == ("cat", "dog", "fox")
    assert found.matrix.tolist() == [[48, 2, 0], [5, 45, 0], [3, 1, 0]]
    assert "No column is named 'fox'" in found.notes[0]
    assert read_matrix_file(b"Actual,cat,dog,fox\ncat,48,2,1\ndog,5,45,0").matrix[2].tolist() == [0, 0, 0]


def test_lines_without_a_class_are_named():
    found = read_matrix_file(b"y_true,y_pred\ncat,cat\ndog,\n,dog")
    assert found.matrix.tolist() == [[1]]
    assert found.notes == ("2 lines (3, 4) without a true or a predicted class are left out.",)


@given(st.lists(st.lists(st.integers(0, 400), min_size=3, max_size=3), min_size=3, max_size=3))
def test_a_matrix_is_never_mistaken_for_one_with_totals(rows):
    """Three classes by chance: only a row and a column that are both sums of the others are totals."""
    counts = np.array(rows)
    ends = (0, 2)
    total = [any(np.array_equal(a[i], np.delete(a, i, 0).sum(0)) for i in ends) for a in (counts, counts.T)]
    if not all(total):
        assert read_matrix_file(write_matrix(counts, ("a", "b", "c")).encode()).matrix.tolist() == rows


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(WRITTEN)), st.data())
def test_a_damaged_file_is_read_or_refused_in_words(written, data):
    text = bytearray(WRITTEN[written].encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, max(0, len(text) - 1)))
        match data.draw(st.sampled_from(("flip", "cut", "double", "drop"))):
            case "flip":
                text[at : at + 1] = bytes([data.draw(st.integers(0, 255))])
            case "cut":
                del text[at:]
            case "double":
                text[at:at] = text[at : at + data.draw(st.integers(1, 30))]
            case "drop":
                del text[at : at + data.draw(st.integers(1, 8))]
    try:
        found = read_matrix_file(bytes(text))
    except BadMatrix:
        return
    assert found.matrix.shape == (len(found.class_names),) * 2
    assert (found.matrix >= 0).all()
