"""The task rootcause: rules state the facts of a defect, a model adds hypotheses that cite only given evidence."""
