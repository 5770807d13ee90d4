import pytest

from core.runs.foreign.column_names import meaning_of, role_of_run, split_run, words_of


@pytest.mark.parametrize(
    ("name", "quantity", "role", "level"),
    [
        ("val_loss", "loss", "validation", ""), ("valid_loss", "loss", "validation", ""),
        ("Loss/test", "loss", "test", ""), ("train/loss", "loss", "train", ""),
        ("trainLoss", "loss", "train", ""),
        ("trainloss", "loss", "train", ""), ("loss", "loss", "", ""), ("nll", "loss", "", ""),
        ("val_sparse_categorical_accuracy", "accuracy", "validation", ""),
        ("eval_top1", "accuracy", "validation", ""),
        ("metrics/accuracy_top1", "accuracy", "", ""), ("acc@1", "accuracy", "", ""),
        ("prec1", "accuracy", "", ""),
        ("lr/pg0", "learning_rate", "", ""), ("learningRate", "learning_rate", "", ""),
        ("lr-Adam", "learning_rate", "", ""), ("error_rate", "other", "", ""),
        ("dropout rate", "other", "", ""),
        ("grad_norm", "gradient_norm", "", ""), ("epoch", "epoch", "", ""),
        ("train/epoch", "epoch", "train", ""),
        ("Step", "step", "", ""), ("trainer/global_step", "step", "", ""), ("_step", "step", "", ""),
        ("train_loss_step", "loss", "train", "step"), ("epoch_loss", "loss", "", "epoch"),
        ("batch_loss", "loss", "", "step"), ("batch_size", "other", "", "step"), ("time", "other", "", ""),
        ("steps_per_second", "other", "", "step"), ("train_val_loss", "loss", "unclear", ""),
        ("loss/held_out", "loss", "validation", ""), ("run", "run", "", ""), ("precision", "other", "", ""),
    ],
)  # fmt: skip
def test_what_names_mean(name, quantity, role, level):
    found = meaning_of(name)
    assert (found.quantity, found.role, found.level) == (quantity, role, level)


@pytest.mark.parametrize(
    "name",
    [
        "top5_acc",
        "top_k_categorical_accuracy",
        "acc5",
        "best_val_acc",
        "val_loss__MIN",
        "loss_scale",
        "eval_loss_ema",
    ],
)
def test_names_of_something_else_than_the_curve(name):
    assert not meaning_of(name).plain


def test_words_and_runs():
    assert words_of("valLoss/top_5-learningRate") == ["val", "loss", "top", "5", "learning", "rate"]
    assert split_run("a - b - val_loss") == ("a - b", "val_loss")
    assert split_run("val_loss") == ("", "val_loss")
    assert [role_of_run(r) for r in ("logs/fit/train", "lr_validation", "test_resnet")] == [
        "train",
        "validation",
        "",
    ]
