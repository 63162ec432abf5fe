"""Defect reports: facts by rules, hypotheses by a model that can cite only evidence it was given."""
