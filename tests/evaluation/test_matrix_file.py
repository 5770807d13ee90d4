"""One matrix in every layout that people have, and files that hold none."""

import numpy as np
import pytest

from core.evaluation.matrix_file import BadMatrix, read_matrix, write_matrix

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
