"""Making a network learn; and the multi-layer perceptron in three implementations."""
