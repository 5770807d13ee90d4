"""How good a classifier is: predictions, confusion matrices, findings, intervals, checks of accuracies."""
