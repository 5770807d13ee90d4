"""What is looked at: pickers of the classifier, the image, the data set and the unit."""
